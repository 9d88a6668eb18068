"""Divides the graded photographs into test, validation and training, and proves that nothing leaks."""

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
    """Writes splits.csv and its report; a split that is not proved is removed again, and the report of a leak stays.

    Raises:
        DataError: No graded photograph is left, a part or site is not known where it is needed, or the table is not as
            the audit wrote it.
        GateError: A grade is missing from a part, something is shared between parts, or held-out pictures resemble
            training pictures.
        ParamsError: A site is unknown, or the shares leave nothing for training.
    """
    from dr_pipeline.files import write_json
    from dr_pipeline.params.curation import SplitParams
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.splitting.grade_balance import grade_test
    from dr_pipeline.splitting.groups import bridges_of, group_photographs, photographs_of
    from dr_pipeline.splitting.leakage import (
        require_alike,
        require_every_grade,
        require_no_leak,
        require_nothing_shared,
    )
    from dr_pipeline.splitting.make_split import divide, split_rows
    from dr_pipeline.splitting.report import describe, headline, part_name, worst_grades
    from dr_pipeline.splitting.similarity_probe import probe
    from dr_pipeline.splitting.stratified import TEST, TRAIN, grades_by_part
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
            todo="read reports/audit.json for what was excluded, reports/intake.json for what has no grade",
        )
    division = divide(group_photographs(photographs, bridges_of(audited)), params)
    folds = [part for part in division.shares if part not in (TEST, TRAIN)]
    require_every_grade(grades_by_part(division.groups, division.parts), folds, drawn=division.drawn)

    with tracked("split") as tracker:
        write_splits(args.out, split_rows(division.groups, division.parts))
        try:
            rows = read_splits(args.out)  # the proof is of what was written
            shared = require_nothing_shared(rows)
            grades = grade_test(worst_grades(rows))
            given = {part_name(key) for key, share in division.shares.items() if share is None}
            found = probe(rows, {one.image_id: one.perceptual_hash for one in photographs}, params.salt, given)
            report = describe(rows, division.shares, division.left_out) | {
                "asked": params.model_dump(mode="json"),
                "grades_by_part": grades.to_dict(),
                "look_alikes": found.to_dict(),
                "shared_between_parts": shared,
            }
            write_json(args.report, report)
            if division.drawn:
                require_alike(grades)
            require_no_leak(found)
        except DrPipelineError:
            args.out.unlink()
            raise
        tracker.metrics({"photographs": len(rows), "groups": len(division.groups)})
    return Outcome(
        wrote=(args.out, args.report),
        headline=headline(report, grades, found),
        next_command="dvc repro train",
    )
