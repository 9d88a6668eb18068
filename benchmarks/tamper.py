"""One flipped bit in a signed bundle: how many of the changes `verify --require-signature` refuses.

python -m benchmarks.tamper data/release [--flips 200] [--out reports/benchmarks/tamper.json]

The bundle is copied and signed with a new key. Bits are drawn over the folder's files, over the .drbundle, and over the
signature alone. For comparison, the same flips of the folder and of the signature by the program `minisign`, which
verifies SHA256SUMS, and `sha256sum -c`, where they are installed.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.bundle_files import SIGNATURE, SUMS
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.signature import make_keys, read_secret_key, sign_bundle
from dr_pipeline.bundle.write import write_files
from dr_pipeline.bundle_storage import file_names, pack_files, read_stored
from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from tests.factories.tamper import flips, refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--flips", type=int, default=200, help="of each of folder, file and signature")
    parser.add_argument("--out", type=Path, help="report (JSON)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(args.bundle, Path(scratch), args.flips)
    print(json.dumps(figures, indent=2))
    if args.out:
        write_json(args.out, {"machine": describe_machine(), **figures})


def measure(bundle: Path, scratch: Path, number: int) -> dict[str, Any]:
    folder, packed, key = scratch / "release", scratch / "a.drbundle", scratch / "key"
    write_files(folder, {name: read_stored(bundle, name) for name in file_names(bundle)})
    make_keys(key, "")
    with read_secret_key(key, str) as secret:
        sign_bundle(read_bundle(folder, threads=1), secret)
    pack_files({name: read_stored(folder, name) for name in file_names(folder)}, packed)
    files = [folder / name for name in sorted(file_names(folder))]
    public = key.with_suffix(".pub")
    return {
        "bytes": packed.stat().st_size,
        "folder": count(folder, files, public, number),
        "drbundle": count(packed, [packed], public, number),
        "signature": count(folder, [folder / SIGNATURE], public, number),
        "unchanged_is_accepted": not refused(folder, public) and not refused(packed, public),
    }


def count(root: Path, files: list[Path], public: Path, number: int) -> dict[str, Any]:
    """Of `number` flips in `files`: how many were refused, how long that took, and what was missed."""
    missed, missed_by_programs, elapsed_s = [], [], 0.0
    programs = root.is_dir() and shutil.which("minisign") is not None
    for what in flips(files, number, seed=number):
        start_s = time.perf_counter()
        if not refused(root, public):
            missed.append(what)
        elapsed_s += time.perf_counter() - start_s
        if programs and not refused_by_programs(root, public):
            missed_by_programs.append(what)
    figures = {
        "flips": number,
        "refused": number - len(missed),
        "missed": missed,
        "mean_ms": round(1e3 * elapsed_s / number, 2),
    }
    return figures | ({"missed_by_minisign_and_sha256sum": missed_by_programs} if programs else {})


def refused_by_programs(root: Path, public: Path) -> bool:
    commands = (["minisign", "-V", "-q", "-m", SUMS, "-p", str(public)], ["sha256sum", "--check", "--quiet", SUMS])
    return any(subprocess.run(command, cwd=root, capture_output=True).returncode for command in commands)


if __name__ == "__main__":
    main()
