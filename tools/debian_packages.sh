#!/usr/bin/env bash
# Installs the Debian packages that some tests use: Orthanc and dcmtk (a PACS and its tools), Chromium (pages are
# opened, clicked and typed in), minisign (another reader of signatures), PostgreSQL (a team's MLflow server). Where
# they cannot be installed those tests are skipped with the reason.
set -uo pipefail
packages=(orthanc dcmtk chromium minisign postgresql)
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "absent, and not installed without root and apt-get: ${missing[*]}; the tests that need them are skipped"
  exit 0
fi
# A package must not start its server: the tests start their own, on free ports.
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
export DEBIAN_FRONTEND=noninteractive
{ apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends "${missing[@]}"; } >/dev/null ||
  echo "could not be installed: ${missing[*]}; the tests that need them are skipped"
