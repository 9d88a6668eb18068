"""Long runs of `dr-pipeline score`: killed and resumed, and over a million files; rows, bytes and memory.

python -m benchmarks.interruptions killed --files 20000 --kills 10 [--out reports/benchmarks/interruptions.json]
python -m benchmarks.interruptions tiny --files 1000000 [--out …]

`killed` draws photographs, adds hostile files, scores all once without interruption, then again with `kill -9` at
random moments and --resume, and compares the bytes. `tiny` scores files of a few bytes, each a row `failed`. Memory is
the sum over all processes of the run, sampled ten times a second; pages that they share are counted in each.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.scoring.outputs import partial_path
from dr_pipeline.scoring.run_manifest import manifest_path
from tests.factories import zoo
from tests.factories.bundles import make_bundle, photograph

_DRAWN = 400  # different photographs; the others are copies, whose pixels were seen before
_SIDE_PX = 160
_FOLDER_FILES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("killed", "tiny"))
    parser.add_argument("--files", type=int, required=True)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--scratch", type=Path, help="where the files are made (default: the system's)")
    parser.add_argument("--out", type=Path, help="report (JSON), to which the figures are added")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        root = Path(scratch)
        figures = killed(root, args.files, args.kills) if args.what == "killed" else tiny(root, args.files)
    print(json.dumps(figures, indent=2))
    if args.out:
        earlier = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
        write_json(args.out, {**earlier, "machine": describe_machine(), args.what: figures})


def killed(root: Path, count: int, kills: int) -> dict[str, Any]:
    clinic, bundle = root / "clinic", make_bundle(root / "bundle")
    draw_files(clinic, count)
    whole, out = root / "whole.csv", root / "killed.csv"
    with watched() as memory:
        uninterrupted_s = run(clinic, bundle, whole, memory)
    rng, rows_at = random.Random(13), list[int]()  # noqa: S311 - no secret
    with watched() as resumed_memory:
        while len(rows_at) < kills:
            process = start(clinic, bundle, out)
            resumed_memory.process = process.pid
            try:
                process.wait(rng.uniform(0, 2.2 * uninterrupted_s / kills))
                break  # it came to its end before it was killed
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                rows_at.append(num_rows(partial_path(out)))
        run(clinic, bundle, out, resumed_memory)
    rows = json.loads(manifest_path(out).read_text(encoding="utf-8"))["rows"]
    return {
        "files": sum(len(files) for _, _, files in os.walk(clinic)),
        "rows": rows,
        "kills": len(rows_at),
        "rows_when_killed": rows_at,
        "byte_identical": whole.read_bytes() == out.read_bytes(),
        "uninterrupted_s": round(uninterrupted_s, 1),
        "peak_mib": {"uninterrupted": memory.peak_mib(), "killed_and_resumed": resumed_memory.peak_mib()},
    }


def tiny(root: Path, count: int) -> dict[str, Any]:
    clinic, bundle, out = root / "clinic", make_bundle(root / "bundle"), root / "tiny.csv"
    for number in range(count):
        if number % _FOLDER_FILES == 0:
            folder = clinic / f"{number // _FOLDER_FILES:05}"
            folder.mkdir(parents=True)
        (folder / f"{number}.jpg").write_bytes(b"%d" % number)
    with watched() as memory:
        seconds = run(clinic, bundle, out, memory)
    return {
        "files": count,
        "rows": json.loads(manifest_path(out).read_text(encoding="utf-8"))["rows"],
        "seconds": round(seconds, 1),
        "peak_mib": memory.peak_mib(),
        "mib_of_the_writing_process": memory.course(),
    }


def draw_files(clinic: Path, count: int) -> None:
    """The zoo once; of the rest, three quarters photographs and one quarter damaged, empty or of other kinds."""
    (clinic / "zoo").mkdir(parents=True)
    for name, sample in zoo.hostile_files().items():
        (clinic / "zoo" / name.replace("/", "_")).write_bytes(sample.data)
    photographs = [photograph(seed, side_px=_SIDE_PX) for seed in range(_DRAWN)]
    rng = random.Random(1)  # noqa: S311 - no secret
    for number in range(count - len(zoo.hostile_files())):
        if number % _FOLDER_FILES == 0:
            folder = clinic / f"{number // _FOLDER_FILES}"
            folder.mkdir()
        data = photographs[number % _DRAWN]
        match number % 16:
            case 3:
                data = data[: rng.randrange(len(data))]
            case 7:
                data = b""
            case 11:
                data = rng.randbytes(300)
            case 15:
                at = rng.randrange(len(data))
                data = data[:at] + rng.randbytes(4) + data[at + 4 :]
        (folder / f"{number}.jpg").write_bytes(data)


def start(clinic: Path, bundle: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dr_pipeline", "score", clinic, "--bundle", bundle, "--out", out, "--resume"]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)


def run(clinic: Path, bundle: Path, out: Path, memory: "Memory") -> float:
    start_s, process = time.monotonic(), start(clinic, bundle, out)
    memory.process = process.pid
    if process.wait():
        sys.exit("scoring failed")
    return time.monotonic() - start_s


def num_rows(table: Path) -> int:
    return table.read_bytes().count(b"\n") - 1 if table.exists() else 0


@dataclass
class Memory:
    """Resident memory of a run: of its processes together, and of the one that writes the table, over time."""

    process: int = 0
    peak_bytes: int = 0
    writer_bytes: list[int] = field(default_factory=list)

    def sample(self) -> None:
        """Measures now."""
        sizes = tree_bytes(self.process)
        self.peak_bytes = max(self.peak_bytes, sum(sizes))
        if sizes:
            self.writer_bytes.append(sizes[0])

    def peak_mib(self) -> int:
        """Of all processes together."""
        return self.peak_bytes >> 20

    def course(self) -> dict[str, int]:
        """MiB of the process that writes the table, by the share of the time that has passed."""
        last = len(self.writer_bytes) - 1
        return {f"{percent} %": self.writer_bytes[last * percent // 100] >> 20 for percent in (5, 25, 50, 75, 100)}


@contextmanager
def watched() -> Iterator[Memory]:
    memory, ended = Memory(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            memory.sample()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def tree_bytes(process: int) -> list[int]:
    """Resident bytes of a process and of those below it."""
    children, sizes = dict[int, list[int]](), dict[int, int]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
        sizes[int(folder.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    found, todo = list[int](), [process] if process in sizes else []
    while todo:
        found.append(sizes[todo[0]])
        todo += children.get(todo.pop(0), [])
    return found


if __name__ == "__main__":
    main()
