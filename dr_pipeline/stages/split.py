"""Divides the graded photographs into test and folds, by patient and duplicate, and proves that nothing leaks."""

import argparse
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("split",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the paths that the stage reads and writes."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--audited", type=Path, required=True, help="the audited manifest (CSV)")
    parser.add_argument("--out", type=Path, required=True, help="the split to write (CSV)")
    parser.add_argument("--report", type=Path, required=True, help="the report to write (JSON)")


def run(args: argparse.Namespace) -> Outcome:
    """Writes splits.csv and its report.

    Raises:
        DataError: No graded photograph is left, or the table is not as the audit wrote it.
        GateError: A grade is missing from a part, or something is shared between parts.
    """
    from dr_pipeline.files import read_csv, write_csv, write_json
    from dr_pipeline.params.load import load_section
    from dr_pipeline.params.split import SplitParams
    from dr_pipeline.schema import MANIFEST_COLUMNS, MANIFEST_VERSION, SPLITS_COLUMNS, SPLITS_VERSION
    from dr_pipeline.splitting.assign import TEST, assign, grades_by_part, part_shares
    from dr_pipeline.splitting.groups import group_photographs, photographs_of
    from dr_pipeline.splitting.leakage import require_every_grade, require_nothing_shared
    from dr_pipeline.splitting.read import DEVELOPMENT, read_splits
    from dr_pipeline.splitting.report import describe
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "split", SplitParams)
    photographs = photographs_of(read_csv(args.audited, MANIFEST_COLUMNS, version=MANIFEST_VERSION))
    if not photographs:
        raise DataError(
            "no photograph is left that has a grade and is not excluded",
            where=str(args.audited),
            todo="read reports/audit.json: it says why each was excluded",
        )
    groups = group_photographs(photographs)
    shares = part_shares(params.test_share, params.num_folds)
    parts = assign(groups, shares, params.salt)
    require_every_grade(grades_by_part(groups, parts), params.num_folds)

    table = [
        {
            "schema_version": SPLITS_VERSION,
            "image_id": photograph.image_id,
            "patient_id": photograph.patient_id,
            "duplicate_cluster": photograph.duplicate_cluster,
            "group": group.key,
            "grade": photograph.grade,
            "split": TEST if parts[group.key] == TEST else DEVELOPMENT,
            "fold": "" if parts[group.key] == TEST else parts[group.key],
        }
        for group in groups
        for photograph in group.photographs
    ]
    with tracked("split") as tracker:
        write_csv(args.out, SPLITS_COLUMNS, sorted(table, key=lambda row: str(row["image_id"])))
        rows = read_splits(args.out)  # the proof is of what was written
        report = describe(rows, shares) | {"shared_between_parts": require_nothing_shared(rows)}
        write_json(args.report, report)
        tracker.metrics({"photographs": len(rows), "groups": len(groups)})
    test = sum(row.split == TEST for row in rows)
    return Outcome(
        wrote=(args.out, args.report),
        headline=f"{len(rows)} photographs in {len(groups)} groups: {test} test, {len(rows) - test} in "
        f"{params.num_folds} folds; {report['patients_said'].partition(':')[0]}; nothing shared",
        next_command="dvc repro train",
    )
