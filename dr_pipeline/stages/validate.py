"""Grades the validation split with the exported model; fits calibration, cut points and operating point on it."""

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
    import numpy as np

    from dr_pipeline.bundle.session import OnnxModel
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.evaluation.checks import require_same_data
    from dr_pipeline.evaluation.decision_fit import cross_fitted, fit_decision
    from dr_pipeline.evaluation.eye_level import eye_figures
    from dr_pipeline.evaluation.fellow_eye import pair_eyes, validation_fusion
    from dr_pipeline.evaluation.gradability import read_statuses
    from dr_pipeline.evaluation.graded_images import graded_rows
    from dr_pipeline.evaluation.inference import canvas_logits
    from dr_pipeline.evaluation.metrics import all_and_gradable, headline_figures
    from dr_pipeline.files import read_json, sha256_file, write_json
    from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.reporting.format_estimate import format_estimate
    from dr_pipeline.schema import RESEARCH_USE, Split
    from dr_pipeline.tables.graded import write_graded
    from dr_pipeline.tables.out_of_fold import aligned_logits, read_out_of_fold_logits
    from dr_pipeline.tables.splits import read_splits, select_split
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "evaluation", Evaluation)
    wanted = load_section(args.params, "operating_point", OperatingPoint)
    export = read_json(args.export / "export.json")
    store = CanvasStore(args.canvases)
    splits_sha256 = sha256_file(args.splits)
    require_same_data(
        found={
            "candidate": export["candidate"],
            "fold": str(export["fold"]),
            "split": export["splits_sha256"],
            "pixel path": export["pixel_path"],
        },
        expected={
            "candidate": args.candidate,
            "fold": str(args.fold),
            "split": splits_sha256,
            "pixel path": store.pixel_path.to_dict(),
        },
        where=str(args.export / "export.json"),
    )
    rows = select_split(read_splits(args.splits), Split.VALIDATION, args.fold)
    statuses = read_statuses(args.gradability, [row.image_id for row in rows])
    model = OnnxModel(args.export / export["validation_model"], threads=1)
    grades = np.array([row.grade for row in rows], dtype=np.int64)
    groups, image_ids = [row.group for row in rows], [row.image_id for row in rows]

    with tracked("validate", candidate=args.candidate, fold=args.fold) as tracker:
        logits = canvas_logits(model.logits, store, image_ids, model.input_px)
        # a combination that was fitted on a photograph is not used to evaluate or calibrate on it
        is_fitted = export["ensemble"]["combine"] != "mean"
        if is_fitted:
            table = args.export / "unseen.csv"
            fitted_on_others = aligned_logits(read_out_of_fold_logits(table), image_ids, where=str(table))
            unseen = np.array(fitted_on_others, dtype=np.float32)
        else:
            unseen = logits
        provenance = {"split": Split.VALIDATION.value, "splits_sha256": splits_sha256, "fold": str(args.fold)}
        decision = fit_decision(unseen, grades, groups, wanted, seed=params.bootstrap_seed, provenance=provenance)
        deployed = decision.apply(unseen)
        cross_fit = cross_fitted(unseen, grades, groups, wanted, seed=params.bootstrap_seed)
        report = all_and_gradable(cross_fit, grades, groups, statuses, params) | {
            "by_eye": eye_figures(cross_fit, grades, rows, statuses, params),
            "research_use": RESEARCH_USE,
            "fitted": f"{'combination, ' if is_fitted else ''}calibration, cut points and operating point of each "
            "photograph come from the other four fifths of the validation split, by patient"
            + ("; each of these was combined without its own fifth" if is_fitted else ""),
            "graded_by": export["ensemble"]["validated_by"],
        }
        if params.two_eye_fusion:
            pairs = [pair_eyes(one.expected_grade, grades, rows, statuses) for one in (deployed, cross_fit)]
            report["two_eye_fusion"] = validation_fusion(*pairs, params=params)
        write_graded(args.out / "predictions.csv", graded_rows(rows, statuses, unseen, deployed, cross_fit))
        write_json(args.out / "decision.json", decision.to_dict())
        write_json(args.report, {"validation": {args.candidate: report}})
        tracker.metrics(headline_figures("validation", report))
    return Outcome(
        wrote=(args.out, args.report),
        headline=f"{args.candidate}: validation QWK {format_estimate(report['qwk'])}",
        next_command=f"dvc repro latency@{args.candidate}",
    )
