"""Scoring by worker processes and by Ray, in turn; then Ray with one of its workers killed.

python -m benchmarks.engines [--files 2000] [--workers 4] [--side 1024] [--repeats 2] [--out FILE.json]

The photographs are drawn, the bundle is the small one of the tests: the network costs nothing, so that what the engine
costs shows. Wall and processing time of whole runs of `dr-pipeline score`, start included, over all processes, Ray's
own among them; all tables must have the same bytes. On a machine that is not idle only processing times mean something.

`ray` starts a cluster of this machine for the run; `ray_running` finds one that runs already, as a programme's would:
it was started before, and has scored one photograph.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.scoring.outputs import partial_path
from tests.factories.bundles import make_bundle, photograph

ENGINES = ("local", "ray", "ray_running")
_DRAWN = 50  # different pictures; the others are copies, which are decoded all the same


@dataclass(frozen=True)
class Run:
    """One run of `score`."""

    wall_s: float
    cpu_s: float
    first_row_s: float
    table_sha256: str

    def figures(self) -> dict[str, float]:
        """Seconds."""
        return {name: round(getattr(self, name), 1) for name in ("wall_s", "cpu_s", "first_row_s")}

    def __str__(self) -> str:
        return f"{self.wall_s:.1f} s, processing {self.cpu_s:.1f} s, first row after {self.first_row_s:.1f} s"


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
        one = root / "one"
        draw(folder, args.files, args.side)
        draw(one, 1, args.side)
        command = [str(folder), "--bundle", str(bundle), "--workers", str(args.workers)]
        runs: dict[str, list[Run]] = {engine: [] for engine in ENGINES}
        for repeat in range(args.repeats):
            for engine, measured in runs.items():
                out = root / f"{engine}-{repeat}.csv"
                if engine == "ray_running":
                    with running_cluster(args.workers) as (address, head):
                        on_it = ["--engine", "ray", "--ray-address", address]
                        score([str(one), *command[1:], *on_it], root / "one.csv")
                        measured.append(score([*command, *on_it], out, cluster=head))
                else:
                    measured.append(score([*command, "--engine", engine], out))
                print(f"{engine:11s} {measured[-1]}")
        killed = score([*command, "--engine", "ray"], root / "killed.csv", kill_after_row=args.files // 3)
        print(f"ray, a worker killed: {killed}")
    tables = {run.table_sha256 for run in [*(run for measured in runs.values() for run in measured), killed]}
    overhead = {engine: over(runs[engine], runs["local"]) for engine in ENGINES[1:]}
    print(f"overhead at {args.files} files: {overhead}; all tables equal: {len(tables) == 1}")
    if args.out:
        result = {
            "files": args.files,
            "side_px": args.side,
            "workers": args.workers,
            "runs": {engine: [run.figures() for run in measured] for engine, measured in runs.items()},
            "overhead": overhead,
            "worker_killed": killed.figures(),
            "tables_equal": len(tables) == 1,
            "load_average": round(os.getloadavg()[0], 1),
            "machine": describe_machine(),
        }
        write_json(args.out, result)
    if len(tables) > 1:
        sys.exit("the tables differ")


def draw(folder: Path, files: int, side: int) -> None:
    folder.mkdir()
    pictures = [photograph(seed, side_px=side) for seed in range(min(files, _DRAWN))]
    for number in range(files):
        (folder / f"{number:05d}.jpg").write_bytes(pictures[number % len(pictures)])


def over(ours: list[Run], theirs: list[Run]) -> dict[str, float]:
    """How much more time, as a fraction, of the medians."""
    wall = median(run.wall_s for run in ours) / median(run.wall_s for run in theirs) - 1
    cpu = median(run.cpu_s for run in ours) / median(run.cpu_s for run in theirs) - 1
    return {"wall": round(wall, 3), "cpu": round(cpu, 3)}


@contextmanager
def running_cluster(workers: int) -> Iterator[tuple[str, int]]:
    """Address and process of a Ray cluster of this machine, which ends with the block."""
    options = ["--head", "--block", "--disable-usage-stats", "--include-dashboard=false", f"--num-cpus={workers}"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray = [str(Path(sys.executable).with_name("ray")), "start", *options, f"--port={port}"]
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # of its clients, too
    folder = tempfile.mkdtemp(prefix="ray-")  # a short name, since sockets are in it
    head = subprocess.Popen([*ray, f"--temp-dir={folder}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if head.poll() is not None:
                sys.exit("no Ray cluster starts")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}", head.pid
    finally:
        head.terminate()
        head.wait()
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]
        shutil.rmtree(folder, ignore_errors=True)  # a process that ends may still write to it


def score(command: list[str], out: Path, *, kill_after_row: int = 0, cluster: int | None = None) -> Run:
    """Runs `score`, and kills one of its workers at a row, if that is above 0.

    `cluster` is the process of a running cluster: what it and its workers compute meanwhile is counted too.
    """
    before_s = {} if cluster is None else {pid: seconds for pid, (_, seconds) in processes_of(cluster).items()}
    start_s = time.monotonic()
    program = [sys.executable, "-m", "dr_pipeline", "score", *command, "--out", str(out)]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first_row_s, killed = 0.0, 0
    cpu_s = dict[int, float]()
    while process.poll() is None:
        family = processes_of(process.pid) | ({} if cluster is None else processes_of(cluster))
        cpu_s |= {pid: seconds for pid, (_, seconds) in family.items()}
        rows = partial_path(out).read_bytes().count(b"\n") - 1 if partial_path(out).exists() else 0
        if rows > 0 and not first_row_s:
            first_row_s = time.monotonic() - start_s
        if kill_after_row and rows >= kill_after_row and not killed:
            killed = min(pid for pid, (name, _) in family.items() if name.startswith("ray::_work_on"))
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.1)
    if process.returncode:
        sys.exit("scoring failed")
    if kill_after_row and not killed:
        sys.exit("no worker was killed")
    spent_s = sum(seconds - before_s.get(pid, 0.0) for pid, seconds in cpu_s.items())
    return Run(time.monotonic() - start_s, spent_s, first_row_s, sha256_file(out))


def processes_of(program: int) -> dict[int, tuple[str, float]]:
    """Name and processing time in seconds of a program's process and all that descend from it."""
    parents, found = dict[int, int](), dict[int, tuple[str, float]]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
            name = (folder / "cmdline").read_text()
        except (OSError, UnicodeDecodeError):  # ended meanwhile, or another's
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        found[pid] = name, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descends(pid: int) -> bool:
        return pid == program or (pid in parents and descends(parents[pid]))

    return {pid: process for pid, process in found.items() if descends(pid)}


if __name__ == "__main__":
    main()
