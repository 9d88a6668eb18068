"""The shift suite on the held-out phantom photographs: what each shift costs, and the time of the suite.

python -m benchmarks.shift_suite --data data --out reports/benchmarks/shift_suite.json
"""

import argparse
import time
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.deployment.shift_suite import ShiftTask, evaluate_shifts
from dr_pipeline.engines.in_process import InProcessEngine
from dr_pipeline.files import atomic_write, write_json
from dr_pipeline.intake.graded_files import read_split_part
from dr_pipeline.machine import describe_machine
from dr_pipeline.reporting.plot_style import png
from dr_pipeline.reporting.shift_plot import plot_shifts

FIGURES = ("qwk", "auc_cumulative_probability", "auc_expected_grade", "auc_severity", "ece")


def rounded(value: Any) -> Any:
    """Floats to four decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def short(shift: dict[str, Any]) -> dict[str, Any]:
    """One line of the table: what is rejected, and the figures of all photographs with an answer."""
    named = {key: shift[key] for key in ("kind", "family", "level")}
    gradable = shift["gradable"]["qwk"]
    return named | {
        "rejected": shift["rejected"]["value"],
        "qwk_change_of_gradable": gradable["change"] | {"n": gradable["n"]},
        **{name: shift["all"][name] for name in FIGURES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", default="test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    args = parser.parse_args()
    bundle = args.data / "release"
    photographs, tables = args.data / "phantom" / "default", (args.data / "manifest.csv", args.data / "splits.csv")
    files = read_split_part(photographs, *tables, args.part)
    task, started_s = ShiftTask(bundle), time.process_time()
    with InProcessEngine(task) as engine:
        report = evaluate_shifts(files, task, engine, {"replicates": 2000, "seed": 0, "confidence": 0.95})
    cpu_s = time.process_time() - started_s
    if args.plot:
        with atomic_write(args.plot) as stream:
            stream.write(png(plot_shifts(report)))
    kept = {key: report[key] for key in ("n", "groups", "by_grade", "resampling", "clean", "failed", "worst", "scores")}
    kept["worst"] = {kind: {a: worst["qwk"] for a, worst in by.items()} for kind, by in report["worst"].items()}
    result = {
        "machine": describe_machine(),
        "bundle_id": identify_bundle(bundle).bundle_id,
        "data": "synthetic photographs, held-out test part",
        "cpu_seconds": cpu_s,
        "files_per_cpu_second": len(files) * (1 + len(task.shifts())) / cpu_s,
        **kept,
        "shifts": [short(shift) for shift in report["shifts"]],
    }
    write_json(args.out, rounded(result))


if __name__ == "__main__":
    main()
