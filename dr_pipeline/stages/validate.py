"""Grades the validation split with the exported model; fits calibration, cut points and operating point on it.

Each format of the model is a candidate of its own, with a decision fitted on its own logits.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("evaluation", "operating_point")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the candidate, its fold, and the paths that the stage reads and writes."""
    parser.add_argument("--candidate", required=True, help="key under candidates: in params.yaml")
    parser.add_argument("--fold", type=int, required=True, help="the fold that the candidate was trained on")
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--export", type=Path, required=True, help="folder with model.onnx and export.json")
    parser.add_argument("--canvases", type=Path, required=True, help="folder of canvases")
    parser.add_argument("--splits", type=Path, required=True, help="the split (CSV)")
    parser.add_argument("--gradability", type=Path, required=True, help="status of each photograph (CSV)")
    parser.add_argument("--out", type=Path, required=True, help="folder for predictions.csv and decision.json")
    parser.add_argument("--report", type=Path, required=True, help="the figures to write (JSON)")


def run(args: argparse.Namespace) -> Outcome:
    """Writes predictions.csv, decision.json and the figures of one candidate.

    Raises:
        GateError: The export belongs to another candidate, fold, split or pixel path.
        DataError: A file is missing or damaged.
    """
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.deployment.candidate_formats import format_name, written_formats
    from dr_pipeline.evaluation.image_metrics import headline_figures
    from dr_pipeline.evaluation.validate_candidate import ValidationInputs, validate_candidate
    from dr_pipeline.files import write_json
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.tables.graded import write_graded
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "evaluation", Evaluation)
    targets = load_section(args.params, "operating_point", OperatingPoint)
    store, reports = CanvasStore(args.canvases), {}
    with tracked("validate", candidate=args.candidate, fold=args.fold) as tracker:
        for folder in written_formats(args.export):
            inputs = ValidationInputs(
                candidate=args.candidate,
                fold=args.fold,
                export=args.export / folder,
                canvases=store,
                splits=args.splits,
                gradability=args.gradability,
            )
            validation = validate_candidate(inputs, params, targets)
            write_graded(args.out / folder / "predictions.csv", validation.rows, private=True)
            write_json(args.out / folder / "decision.json", validation.decision.to_dict())
            reports[format_name(args.candidate, folder)] = validation.report
        write_json(args.report, {"validation": reports})
        tracker.metrics(headline_figures("validation", reports[args.candidate]))
    return Outcome(
        wrote=(args.out, args.report),
        headline="; ".join(
            f"{name}: validation QWK {format_estimate(report['qwk'])}" for name, report in reports.items()
        ),
        next_command=f"dvc repro latency@{args.candidate}",
    )
