"""Reads a data set's own layout, or several, into data/manifest.csv: one row per photograph, labels joined by name."""

import argparse
from pathlib import Path

from dr_pipeline.adapter_registry import help_text
from dr_pipeline.stages.outcome import Outcome

PARAMS = ("dataset",)
_READERS = """
several graders: with dataset.folder.columns.grader, rows of one photograph that differ in their grader are its
readings. The photograph gets their median; of two in the middle, the higher. --readings lists them, and
training.reader_agreement sets how far a target follows them. Without that column such rows are refused."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths, which dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, metavar="PATH", help="params.yaml; reads dataset")
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        metavar="PATH",
        help="folder of the data set; of several, that paths start at",
    )
    parser.add_argument("--manifest", type=Path, required=True, metavar="PATH", help="table to write")
    parser.add_argument(
        "--readings", type=Path, required=True, metavar="PATH", help="table to write: grades by several graders"
    )
    parser.add_argument(
        "--report", type=Path, required=True, metavar="PATH", help="JSON to write: counts, orphans, warnings"
    )


def help_epilog() -> str:
    """The installed adapters and how several graders are read; only this verb's own help looks them up."""
    return f"{help_text()}\n{_READERS}"


def run(args: argparse.Namespace) -> Outcome:
    """Reads, joins, hashes, writes; see `run_intake`.

    Raises:
        DataError: The data set differs from its layout.
        ParamsError: The section `dataset` is wrong.
        EnvironmentProblem: The adapter of another distribution cannot be used.
    """
    from dr_pipeline.files import write_json
    from dr_pipeline.intake.run_intake import run_intake
    from dr_pipeline.params.data_source import Dataset
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.tables.manifest import write_manifest
    from dr_pipeline.tables.readings import write_readings

    result = run_intake(args.root, load_section(args.params, "dataset", Dataset))
    write_manifest(args.manifest, result.manifest, private=True)
    write_readings(args.readings, result.readings, private=True)
    write_json(args.report, result.report)
    return Outcome(
        wrote=(args.manifest, args.readings, args.report),
        headline=result.headline,
        next_command="dvc repro preprocess",
    )
