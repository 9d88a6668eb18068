"""What a clinic installs: the size of the base installation, and the time from a new process to the first grade.

python -m benchmarks.base_install data/release photograph.jpg [--runs 20] [--out reports/benchmarks/base_install.json]

Makes a virtual environment, installs this repository into it with the versions of requirements.lock (pip downloads
them), and starts a process per run, which imports, reads and verifies the bundle, and grades the photograph.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from tests.factories import REPOSITORY

_GRADE = """
import sys
from pathlib import Path
from dr_pipeline.scoring.scorer import Scorer
score = Scorer.from_bundle(Path(sys.argv[1]), threads=1).score(Path(sys.argv[2]).read_bytes())
print(score.status, score.grading and score.grading.grade)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--out", type=Path, help="report (JSON)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        python = install(Path(scratch))
        figures = size(Path(scratch)) | first_grade(python, args.bundle.resolve(), args.photograph.resolve(), args.runs)
    print(json.dumps(figures, indent=2))
    if args.out:
        write_json(args.out, {"machine": describe_machine(), **figures})


def install(scratch: Path) -> Path:
    """A new environment with the base installation; returns its Python."""
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    locked = re.findall(r"^([\w.-]+==\S+(?: ; [^\\\n]+)?)", lock, flags=re.MULTILINE)
    (scratch / "constraints.txt").write_text("\n".join(locked), encoding="utf-8")
    environment = scratch / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", scratch / "constraints.txt", REPOSITORY]
    subprocess.run(pip, check=True, cwd=scratch)
    return python


def size(scratch: Path) -> dict[str, Any]:
    """Of the whole environment, pip included, and of its largest packages."""
    (packages,) = (scratch / "environment").glob("lib/python*/site-packages")
    parts = {path.name: megabytes(path) for path in packages.iterdir()}
    largest = sorted(parts.items(), key=lambda item: -item[1])[:8]
    return {"environment_mb": megabytes(scratch / "environment"), "largest_mb": dict(largest)}


def megabytes(path: Path) -> float:
    """Bytes of all files, links not followed."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if not file.is_symlink() and file.is_file()]
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)


def first_grade(python: Path, bundle: Path, photograph: Path, runs: int) -> dict[str, Any]:
    """Wall and processor time of whole processes; the first one, whose files are not cached yet, is stated apart."""
    seconds, processor_s, answer = [], [], ""
    for _ in range(runs + 1):
        start_s, before_s = time.perf_counter(), children_s()
        command = [python, "-c", _GRADE, bundle, photograph]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=python.parent).stdout.strip()
        seconds.append(time.perf_counter() - start_s)
        processor_s.append(children_s() - before_s)
    later = sorted(seconds[1:])
    return {
        "bundle": identify_bundle(bundle).bundle_id,
        "answer": answer,
        "photograph_bytes": photograph.stat().st_size,
        "n": runs,
        "first_s": round(seconds[0], 3),
        "median_s": round(median(later), 3),
        "min_s": round(later[0], 3),
        "max_s": round(later[-1], 3),
        "processor_median_s": round(median(processor_s[1:]), 3),
    }


def children_s() -> float:
    """Processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
