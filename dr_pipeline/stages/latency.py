"""Takes the time from file to grade of one candidate on validation photographs, on this machine.

Batch 1; reading, decoding, pixel path, network and decision included: the very calls that `score` makes.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("latency",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--candidate", required=True, help="its name in params.yaml")
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--root", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--audited", type=Path, required=True, help="table that `audit` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--export", type=Path, required=True, help="folder that `export` wrote")
    parser.add_argument("--validation", type=Path, required=True, help="folder that `validate` wrote")
    parser.add_argument("--gradability", type=Path, required=True, help="thresholds that `gradability` wrote (JSON)")
    parser.add_argument("--machine", type=Path, required=True, help="description that `machine` wrote")
    parser.add_argument("--report", type=Path, required=True, help="the figures to write")


def run(args: argparse.Namespace) -> Outcome:
    """Checks the machine, measures, writes."""
    from statistics import median

    from dr_pipeline.bundle.decision import Decision
    from dr_pipeline.deployment.latency import Lap, measure
    from dr_pipeline.errors import DataError
    from dr_pipeline.files import read_csv, read_json, write_json
    from dr_pipeline.fundus.pixel_path import PixelPath
    from dr_pipeline.fundus.quality.thresholds import Gradability
    from dr_pipeline.machine import require_same_machine
    from dr_pipeline.params.evaluation import Latency
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import MANIFEST_COLUMNS, MANIFEST_VERSION, Split, Status
    from dr_pipeline.scoring.scorer import Scorer
    from dr_pipeline.splitting.read import part, read_splits
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "latency", Latency)
    machine = require_same_machine(args.machine)
    export = read_json(args.export / "export.json")
    scorer = Scorer(
        args.export / "model.onnx",
        input_px=export["input_px"],
        pixel_path=PixelPath.from_dict(export["pixel_path"]),
        decision=Decision.from_dict(read_json(args.validation / "decision.json")),
        gradability=Gradability.from_dict(read_json(args.gradability)),
        threads=params.threads,
    )
    manifest = {row["image_id"]: row for row in read_csv(args.audited, MANIFEST_COLUMNS, version=MANIFEST_VERSION)}
    rows = [manifest[row.image_id] for row in part(read_splits(args.splits), Split.VALIDATION, export["fold"])]

    def grade(path: Path, lap: Lap) -> None:
        data = path.read_bytes()
        lap("read")
        score = scorer.score(data, lap=lap)
        if score.status in (Status.FAILED, Status.NOT_FUNDUS):
            raise DataError(f"a validation photograph is {score.status}: {score.reason}", where=str(path))

    with tracked("latency", candidate=args.candidate, fold=export["fold"]) as run_:
        latency = measure(
            grade,
            [args.root / row["path"] for row in rows],
            warmup=params.warmup_photographs,
            count=params.num_photographs,
        )
        figures = latency.to_dict() | {
            "threads": params.threads,
            "machine": machine["fingerprint"],
            "median_megapixels": round(median(int(r["width"]) * int(r["height"]) / 1e6 for r in rows), 3),
        }
        write_json(args.report, {"latency": {args.candidate: figures}})
        run_.metrics({f"latency.{key}": figures[key] for key in ("p50_ms", "p95_ms", "p99_ms")})
    steps = ", ".join(f"{step} {value:.1f}" for step, value in latency.steps_ms.items())
    return Outcome(
        wrote=(args.report,),
        headline=f"{args.candidate}: p50 {latency.p50_ms:.1f}, p95 {latency.p95_ms:.1f}, p99 {latency.p99_ms:.1f} ms "
        f"from file to grade (batch 1, {params.threads} thread(s), n = {latency.n}; medians: {steps} ms)",
        next_command="dvc repro select",
    )
