"""Grades the test split with the bundle as shipped, and counts the opening."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("evaluation", "subgroups")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the paths that the stage reads and writes."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--bundle", type=Path, required=True, help="the deployable bundle")
    parser.add_argument("--canvases", type=Path, required=True, help="folder of canvases")
    parser.add_argument("--splits", type=Path, required=True, help="the split (CSV)")
    parser.add_argument("--gradability", type=Path, required=True, help="status of each photograph (CSV)")
    parser.add_argument("--audited", type=Path, required=True, help="table that `audit` wrote, for the subgroups")
    parser.add_argument("--predictions", type=Path, required=True, help="the graded test photographs to write (CSV)")
    parser.add_argument("--report", type=Path, required=True, help="the figures to write (JSON)")
    parser.add_argument(
        "--openings", type=Path, required=True, help="ledger of test openings, appended to (JSON lines)"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Writes the graded test photographs and their figures, and records the opening in the ledger.

    Raises:
        BundleError: The bundle is damaged.
        GateError: Its decision was not fitted on validation of this split, or its pixel path is another.
        DataError: A file is missing or damaged.
    """
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.evaluation.answers import Answers
    from dr_pipeline.evaluation.breakdown import breakdown
    from dr_pipeline.evaluation.evaluate_bundle import TestInputs, evaluate_bundle
    from dr_pipeline.evaluation.image_metrics import headline_figures
    from dr_pipeline.files import write_json
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.params.evaluation import Evaluation
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.subgroups import Subgroups
    from dr_pipeline.schema import RESEARCH_USE, Split
    from dr_pipeline.tables.graded import write_graded
    from dr_pipeline.tables.manifest import read_manifest
    from dr_pipeline.tables.splits import read_splits, select_split
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "evaluation", Evaluation)
    subgroups = load_section(args.params, "subgroups", Subgroups)
    bundle = read_bundle(args.bundle, threads=1)
    inputs = TestInputs(CanvasStore(args.canvases), args.splits, args.gradability, args.openings)
    manifest = {row.image_id: row for row in read_manifest(args.audited)}  # a missing file must cost no opening
    with tracked("test") as tracker:
        rows, report = evaluate_bundle(bundle, inputs, params)
        report |= breakdown(
            Answers.of_rows(rows),
            select_split(read_splits(args.splits), Split.TEST, 0),
            manifest,
            inputs.canvases.rows,
            params,
            subgroups,
        )
        write_graded(args.predictions, rows, private=True)
        write_json(args.report, {"test": report})
        tracker.metrics(headline_figures("test", report) | {"test.openings": float(report["openings"])})
    return Outcome(
        wrote=(args.predictions, args.report),
        headline=f"test QWK {format_estimate(report['qwk'])}, opening {report['openings']} of this test split. "
        f"{RESEARCH_USE}",
        next_command="dvc repro report",
    )
