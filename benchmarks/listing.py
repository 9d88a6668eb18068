"""How long a listing takes, and how much memory: a million tiny files, their order on disk, a zip, a tar and a list.

python benchmarks/listing.py [--files 1000000] [--folder /dev/shm]

Each part runs in a process of its own, so that each peak of memory is its own; the start of Python and the package's
imports are the first line.
"""

import argparse
import json
import multiprocessing
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from dr_pipeline.scoring.sources.listing import iter_entries, sort_key

_PER_FOLDER = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the files are made; needs as many inodes")
    parser.add_argument("--report", type=Path, help="JSON to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        root = Path(scratch)
        count = args.files
        results = {"start": measured(nothing, root, 0)}
        make_flat(root / "flat", count)
        results["one folder"] = measured(list_all, root / "flat", count)
        results["one folder, with sort keys"] = measured(list_with_keys, root / "flat", count)
        make_nested(root / "nested", count)
        results[f"folders of {_PER_FOLDER:,}"] = measured(list_all, root / "nested", count)
        make_list(root / "list.txt", count)
        results["list"] = measured(list_all, f"@{root / 'list.txt'}", count)
        make_zip(root / "files.zip", count // 10)
        results["zip, a tenth"] = measured(list_all, root / "files.zip", count // 10)
        make_tar(root / "files.tar", count // 10)
        results["tar, a tenth"] = measured(list_all, root / "files.tar", count // 10)
    if args.report:
        args.report.write_text(json.dumps({"files": args.files, "parts": results}, indent=2) + "\n", encoding="utf-8")


def measured(work: Callable[[str], int], source: str | Path, expected: int) -> dict[str, float]:
    """Runs one part in a new process and prints its time and peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        count, wall_s, cpu_s, peak_mib = pool.apply(run, (work, str(source)))
    if count != expected:
        raise RuntimeError(f"{work.__name__} listed {count} of {expected}")
    name = f"{work.__name__:15s} {Path(source).name:12s}"
    print(f"{name} {count:9,d} entries {wall_s:6.1f} s, CPU {cpu_s:6.1f} s, peak {peak_mib:6.0f} MiB", flush=True)
    return {"entries": count, "wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2), "peak_mib": round(peak_mib, 1)}


def run(work: Callable[[str], int], source: str) -> tuple[int, float, float, float]:
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    count = work(source)
    wall_s, cpu_s = time.monotonic() - start_s, time.process_time() - start_cpu_s
    return count, wall_s, cpu_s, peak_memory_mib()


def peak_memory_mib() -> float:
    """This process's own: ru_maxrss also holds that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def nothing(_source: str) -> int:
    return 0


def list_all(source: str) -> int:
    return sum(1 for _ in iter_entries([source]))


def list_with_keys(source: str) -> int:
    return sum(bool(sort_key(entry.relative)) for entry in iter_entries([source]))


def make_flat(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"photograph {number}.jpg").touch()


def make_nested(folder: Path, count: int) -> None:
    for number in range(count):
        if number % _PER_FOLDER == 0:
            inner = folder / f"{number // _PER_FOLDER // 100}" / f"{number // _PER_FOLDER}"
            inner.mkdir(parents=True)
        (inner / f"{number}.jpg").touch()


def make_list(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"flat/photograph {number}.jpg\n" for number in range(count))


def make_zip(path: Path, count: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number // _PER_FOLDER}/{number}.jpg", b"x")


def make_tar(path: Path, count: int) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            archive.addfile(tarfile.TarInfo(f"{number // _PER_FOLDER}/{number}.jpg"))


if __name__ == "__main__":
    main()
