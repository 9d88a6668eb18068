#!/usr/bin/env bash
# Builds the image of Dockerfile where no registry can be reached, and grades a photograph in it.
#
#   tools/container_without_registry.sh WORK_FOLDER BUNDLE PHOTOGRAPH
#
# The base is a minimal Debian with its own Python 3.11 in place of python:3.11-slim. The server then runs from the image's
# files as user 10001, without capabilities, on a read-only root. Needs root and Debian's buildah and debootstrap.
set -euo pipefail
work=$1 bundle=$(realpath "$2") photograph=$(realpath "$3") port=18099
mkdir -p "$work"
work=$(realpath "$work")
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot
builder() { buildah --root "$work/store" --runroot "$work/run" "$@"; }

if [ ! -d "$work/base" ]; then
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,python-is-python3,ca-certificates \
    bookworm "$work/base.part" >"$work/base.log"
  mv "$work/base.part" "$work/base"
fi
if ! builder inspect --type image localhost/base:3.11 >/dev/null 2>&1; then
  container=$(builder from scratch)
  builder copy --quiet "$container" "$work/base" / >/dev/null
  builder commit --quiet "$container" localhost/base:3.11
  builder rm "$container" >/dev/null
fi
shared=(--volume /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
[ -f /etc/pip.conf ] && shared+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
builder build --quiet --format docker "${shared[@]}" --build-arg BASE=localhost/base:3.11 --tag dr-pipeline .
builder images

root=$(builder mount "$(builder from --pull-never localhost/dr-pipeline:latest)")
du -sm "$root/opt/dr-pipeline" | sed 's/\t.*/ MB of packages/'
cat >"$work/inside.sh" <<'INSIDE'
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/dev"
for device in null urandom; do touch "$1/dev/$device" && mount --bind "/dev/$device" "$1/dev/$device"; done
mkdir "$1/dev/shm" && mount -t tmpfs -o size=16m,mode=1777 tmpfs "$1/dev/shm"
mount --bind "$2" "$1/mnt"
mount -o remount,bind,ro "$1/mnt"
mount -o remount,bind,ro "$1"
exec chroot "$1" setpriv --reuid 10001 --regid 10001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
  env -i TMPDIR=/dev/shm PYTHONDONTWRITEBYTECODE=1 /opt/dr-pipeline/bin/python -m dr_pipeline serve /mnt --port "$3"
INSIDE
unshare --mount bash "$work/inside.sh" "$root" "$bundle" "$port" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in $(seq 300); do curl --silent --output /dev/null "http://127.0.0.1:$port/health" && break || sleep 0.2; done
grep -E '^(Uid|CapEff|NoNewPrivs)' "/proc/$server/status"
curl --silent --show-error --fail-with-body --data-binary "@$photograph" "http://127.0.0.1:$port/v1/score"
echo
kill -TERM "$server"
wait "$server"
