"""How fast a folder is scored: whole runs of `dr-pipeline score`, and ways of sharing out the cores.

python benchmarks/scoring.py FOLDER --bundle data/release [--limit 120]

Prints wall time (start of the program included) and CPU time of a whole run, the time until the first row, and then
photographs per second and CPU per photograph of one process by threads × threads inside the network, and of processes.
On a machine that is not idle only the CPU times mean something.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from dr_pipeline.machine import usable_cores
from dr_pipeline.scoring.outputs import partial_path
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.scoring.task import score_entry

_CORES = usable_cores()
_scorer: Scorer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=120, help="photographs for the second part")
    args = parser.parse_args()
    entries = list_entries([str(args.folder)])
    whole_run(args.folder, args.bundle, len(entries))
    few = entries[: args.limit]
    for threads, inside in ((1, 1), (1, _CORES), (_CORES, 1), (_CORES, _CORES)):
        scorer = Scorer.from_bundle(args.bundle, threads=inside)
        with ThreadPoolExecutor(threads) as pool:
            timed(f"{threads} threads x {inside} in the network", len(few), lambda: score_all(pool, scorer, few))  # noqa: B023
    with ProcessPoolExecutor(_CORES, initializer=load, initargs=(args.bundle,)) as processes:
        list(processes.map(score_one, few[:_CORES]))  # the start of the processes is not counted
        timed(f"{_CORES} processes x 1", len(few), lambda: list(processes.map(score_one, few, chunksize=4)))
    print("(CPU of processes is counted at their end: none is shown)")


def whole_run(folder: Path, bundle: Path, count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "predictions.csv"
        command = [sys.executable, "-m", "dr_pipeline", "score", folder, "--bundle", bundle, "--out", out]
        cpu_s, start_s = children_cpu_s(), time.monotonic()
        process = subprocess.Popen(list(map(str, command)))
        while process.poll() is None and lines(partial_path(out)) < 2 and not out.exists():
            time.sleep(0.01)
        first_row_s = time.monotonic() - start_s
        if process.wait():
            sys.exit("scoring failed")
        wall_s, cpu_s = time.monotonic() - start_s, children_cpu_s() - cpu_s
    print(f"whole run: {count} files in {wall_s:.1f} s = {count / wall_s:.1f}/s, first row after {first_row_s:.2f} s")
    print(f"           CPU {cpu_s:.1f} s = {1e3 * cpu_s / count:.1f} ms a file: {_CORES * count / cpu_s:.0f}/s if idle")


def timed(label: str, count: int, work: Callable[[], object]) -> None:
    wall_s, cpu_s = time.monotonic(), time.process_time()
    work()
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    print(f"{label:32s} {count / wall_s:6.1f}/s   CPU {1e3 * cpu_s / count:6.1f} ms a file")


def score_all(pool: ThreadPoolExecutor, scorer: Scorer, entries: list[Entry]) -> None:
    list(pool.map(lambda entry: score_entry(entry, scorer.score), entries))


def load(bundle: Path) -> None:
    global _scorer
    _scorer = Scorer.from_bundle(bundle, threads=1)


def score_one(entry: Entry) -> str:
    return score_entry(entry, _scorer.score).status


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":
    main()
