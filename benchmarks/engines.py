"""Scoring by worker processes and by a Ray cluster of this machine, in turn; then Ray with one of its workers killed.

python -m benchmarks.engines [--files 2000] [--workers 4] [--side 1024] [--repeats 2] [--out FILE.json]

The photographs are drawn, the bundle is the small one of the tests: the network costs nothing, so that what the engine
costs shows. Wall times of whole runs of `dr-pipeline score`; all tables must have the same bytes.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.scoring.outputs import partial_path
from tests.factories.bundles import make_bundle, photograph

_DRAWN = 50  # different pictures; the others are copies, which are decoded all the same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--side", type=int, default=1024, help="pixels of the drawn field")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        bundle, folder = make_bundle(root / "release"), root / "clinic"
        draw(folder, args.files, args.side)
        command = [str(folder), "--bundle", str(bundle), "--workers", str(args.workers)]
        seconds: dict[str, list[float]] = {"local": [], "ray": []}
        first_row: dict[str, list[float]] = {"local": [], "ray": []}
        tables = set()
        for repeat in range(args.repeats):
            for engine in ("local", "ray"):
                out = root / f"{engine}-{repeat}.csv"
                whole_s, first_s, _ = score([*command, "--engine", engine], out)
                seconds[engine].append(whole_s)
                first_row[engine].append(first_s)
                tables.add(sha256_file(out))
                print(f"{engine:5s} {whole_s:6.1f} s, first row after {first_s:4.1f} s")
        out = root / "killed.csv"
        killed_s, _, killed = score([*command, "--engine", "ray"], out, kill_after_row=args.files // 3)
        same = sha256_file(out) in tables and len(tables) == 1
    print(f"ray, worker {killed} killed: {killed_s:.1f} s; all {2 * args.repeats + 1} tables equal: {same}")
    overhead = median(seconds["ray"]) / median(seconds["local"]) - 1
    print(f"overhead of ray: {overhead:.0%} of {args.files} files")
    if args.out:
        result = {
            "files": args.files,
            "side_px": args.side,
            "workers": args.workers,
            "seconds": rounded(seconds),
            "first_row_s": rounded(first_row),
            "overhead": round(overhead, 3),
            "worker_killed": {"seconds": round(killed_s, 1), "same_table": same},
            "machine": describe_machine(),
        }
        write_json(args.out, result)
    if not same:
        sys.exit("the tables differ")


def draw(folder: Path, files: int, side: int) -> None:
    folder.mkdir()
    pictures = [photograph(seed, side_px=side) for seed in range(min(files, _DRAWN))]
    for number in range(files):
        (folder / f"{number:05d}.jpg").write_bytes(pictures[number % len(pictures)])


def score(command: list[str], out: Path, *, kill_after_row: int = 0) -> tuple[float, float, int]:
    """Runs `score`; returns its seconds, those until its first row, and the worker that was killed, or 0."""
    start_s = time.monotonic()
    program = [sys.executable, "-m", "dr_pipeline", "score", *command, "--out", str(out)]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL)
    first_s, killed = 0.0, 0
    while process.poll() is None:
        rows = partial_path(out).read_bytes().count(b"\n") - 1 if partial_path(out).exists() else 0
        if rows > 0 and not first_s:
            first_s = time.monotonic() - start_s
        if kill_after_row and rows >= kill_after_row and not killed:
            killed = ray_workers(process.pid)[0]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.05)
    if process.returncode:
        sys.exit("scoring failed")
    return time.monotonic() - start_s, first_s, killed


def ray_workers(program: int) -> list[int]:
    """The processes in which Ray runs tasks of a program."""
    parents, names = dict[int, int](), dict[int, str]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(folder.name)
            names[pid] = (folder / "cmdline").read_text()
            parents[pid] = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:  # ended meanwhile
            continue

    def descends(pid: int) -> bool:
        return pid == program or (pid in parents and descends(parents[pid]))

    return sorted(pid for pid, name in names.items() if name.startswith("ray::_work_on") and descends(pid))


def rounded(series: dict[str, list[float]]) -> dict[str, Any]:
    return {name: [round(value, 1) for value in values] for name, values in series.items()}


if __name__ == "__main__":
    main()
