"""Splits the graded photographs into test, validation and training, and checks that nothing leaks."""

import argparse
from pathlib import Path

from dr_pipeline.errors import DataError, DrPipelineError
from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("split",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the paths that the stage reads and writes."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--audited", type=Path, required=True, help="the audited manifest (CSV)")
    parser.add_argument("--out", type=Path, required=True, help="the split to write (CSV)")
    parser.add_argument("--report", type=Path, required=True, help="the report to write (JSON)")


def run(args: argparse.Namespace) -> Outcome:
    """Writes splits.csv and its report; a split that fails a check is removed again, and the report of a leak stays.

    Raises:
        DataError: No graded photograph is left, a part or site is not known where it is needed, or the table is not as
            the audit wrote it.
        GateError: No photograph is referable, or every one is; a part lacks a grade or has too few
            patients, something is shared between parts, or held-out photographs resemble training photographs.
        ParamsError: A site is unknown, or the shares leave nothing for training.
    """
    from dr_pipeline.files import write_json
    from dr_pipeline.params.curation import SplitParams
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.splitting.groups import bridges_of, group_photographs, photographs_of
    from dr_pipeline.splitting.leakage import require_both_classes, require_every_grade, require_validation_groups
    from dr_pipeline.splitting.make_split import make_split, split_rows
    from dr_pipeline.splitting.split_report import check_split
    from dr_pipeline.tables.manifest import read_manifest
    from dr_pipeline.tables.splits import read_splits, write_splits
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "split", SplitParams)
    audited = read_manifest(args.audited)
    photographs = photographs_of(audited)
    if not photographs:
        raise DataError(
            "no photograph is left that has a grade and is not excluded",
            where=str(args.audited),
            todo="read reports/audit.json for what was excluded, reports/intake.json for what has no grade; labels "
            "that say only referable or not are trained on as grades 2 and 0",
        )
    require_both_classes((photograph.grade for photograph in photographs), where=str(args.audited))
    assignment = make_split(group_photographs(photographs, bridges_of(audited)), params)
    require_every_grade(assignment.grades_by_part(), assignment.folds, drawn=assignment.drawn)
    rows = split_rows(assignment)
    require_validation_groups(rows)

    with tracked("split") as tracker:
        write_splits(args.out, rows, private=True)
        try:
            checked = check_split(read_splits(args.out), assignment, photographs, params)  # as written
            write_json(args.report, checked.report)
            checked.require()
        except DrPipelineError:
            args.out.unlink()
            raise
        tracker.metrics({"photographs": checked.report["photographs"], "groups": len(assignment.groups)})
    return Outcome(wrote=(args.out, args.report), headline=checked.headline, next_command="dvc repro train")
