"""Grades the test split with the bundle as shipped, and counts the opening."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("evaluation",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the paths that the stage reads and writes."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--bundle", type=Path, required=True, help="the deployable bundle")
    parser.add_argument("--canvases", type=Path, required=True, help="folder of canvases")
    parser.add_argument("--splits", type=Path, required=True, help="the split (CSV)")
    parser.add_argument("--gradability", type=Path, required=True, help="status of each photograph (CSV)")
    parser.add_argument("--predictions", type=Path, required=True, help="the graded test photographs to write (CSV)")
    parser.add_argument("--report", type=Path, required=True, help="the figures to write (JSON)")
    parser.add_argument(
        "--openings", type=Path, required=True, help="ledger of test openings, appended to (JSON lines)"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Writes the graded test photographs and their figures, and notes the opening in the ledger.

    Raises:
        BundleError: The bundle is damaged.
        GateError: Its decision was not fitted on validation of this very split, or its pixel path is another.
        DataError: A file is missing or damaged.
    """
    from collections import Counter

    import numpy as np

    from dr_pipeline.bundle.bundle_files import METADATA
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.evaluation.baselines import baselines
    from dr_pipeline.evaluation.checks import record_opening, require_fitted_on_validation, require_same_data
    from dr_pipeline.evaluation.eye_level import eye_figures
    from dr_pipeline.evaluation.fellow_eye import held_out_fusion, pair_eyes
    from dr_pipeline.evaluation.gradability import read_statuses
    from dr_pipeline.evaluation.graded_images import graded_rows
    from dr_pipeline.evaluation.inference import canvas_logits
    from dr_pipeline.evaluation.metrics import all_and_gradable, headline_figures
    from dr_pipeline.files import read_json, sha256_file, write_json
    from dr_pipeline.params.evaluation import Evaluation
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.reporting.format_estimate import format_estimate
    from dr_pipeline.schema import RESEARCH_USE, Split
    from dr_pipeline.scoring.scorer import Scorer
    from dr_pipeline.tables.graded import write_graded
    from dr_pipeline.tables.splits import DEVELOPMENT, read_splits, select_split
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "evaluation", Evaluation)
    scorer = Scorer.from_bundle(args.bundle, threads=1)
    store = CanvasStore(args.canvases)
    splits_sha256 = sha256_file(args.splits)
    require_fitted_on_validation(scorer.decision, splits_sha256, where=str(args.bundle))
    require_same_data(
        found={
            "pixel path": scorer.pixel_path.to_dict(),
            "split of the quality thresholds": scorer.gradability.fitted_on.get("splits_sha256"),
        },
        expected={"pixel path": store.pixel_path.to_dict(), "split of the quality thresholds": splits_sha256},
        where=str(args.bundle),
    )
    all_rows = read_splits(args.splits)
    rows = select_split(all_rows, Split.TEST, 0)
    image_ids, groups = [row.image_id for row in rows], [row.group for row in rows]
    statuses = read_statuses(args.gradability, image_ids)
    development = Counter(row.grade for row in all_rows if row.split == DEVELOPMENT)
    majority_grade = min(development, key=lambda grade: (-development[grade], grade))

    with tracked("test") as tracker:
        openings = record_opening(args.openings, image_ids, splits_sha256, scorer.bundle_id)
        logits = canvas_logits(scorer.logits, store, image_ids, scorer.input_px)
        decided = scorer.decision.apply(logits)
        grades = np.array([row.grade for row in rows], dtype=np.int64)
        report = all_and_gradable(decided, grades, groups, statuses, params) | {
            "by_eye": eye_figures(decided, grades, rows, statuses, params),
            "baselines": baselines(
                grades,
                groups,
                [row.examination for row in rows],
                majority_grade,
                params,
                eyes=[row.eye for row in rows],
            ),
            "bundle_id": scorer.bundle_id,
            "openings": openings,
            "research_use": RESEARCH_USE,
            "splits_sha256": splits_sha256,
        }
        if params.two_eye_fusion:
            report["two_eye_fusion"] = held_out_fusion(
                pair_eyes(decided.expected_grade, grades, rows, statuses),
                read_json(args.bundle / METADATA)["validation"].get("two_eye_fusion", {}),
                params=params,
            )
        write_graded(args.predictions, graded_rows(rows, statuses, logits, decided, decided))
        write_json(args.report, {"test": report})
        tracker.metrics(headline_figures("test", report) | {"test.openings": float(openings)})
    return Outcome(
        wrote=(args.predictions, args.report),
        headline=f"test QWK {format_estimate(report['qwk'])}, opening {openings} of this test split. {RESEARCH_USE}",
        next_command="dvc repro report",
    )
