"""Reads a data set's own layout into data/manifest.csv: one row per photograph, labels joined by name."""

import argparse
from pathlib import Path

from dr_pipeline.intake.catalogue import help_text
from dr_pipeline.stages.outcome import Outcome

PARAMS = ("dataset",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths, which dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, metavar="PATH", help="params.yaml; reads dataset")
    parser.add_argument("--root", type=Path, required=True, metavar="PATH", help="folder of the data set")
    parser.add_argument("--manifest", type=Path, required=True, metavar="PATH", help="table to write")
    parser.add_argument(
        "--readings", type=Path, required=True, metavar="PATH", help="table to write: grades by several graders"
    )
    parser.add_argument(
        "--report", type=Path, required=True, metavar="PATH", help="JSON to write: counts, orphans, warnings"
    )
    parser.epilog = help_text()


def run(args: argparse.Namespace) -> Outcome:
    """Reads, joins, hashes, writes.

    Raises:
        DataError: The data set is not as its layout says.
        ParamsError: The section `dataset` is wrong.

    A photograph that cannot be read has its row, without a sha256; the audit decides what becomes of it.
    """
    from dr_pipeline.errors import DataError
    from dr_pipeline.files import write_csv, write_json
    from dr_pipeline.intake.adapters import ADAPTERS
    from dr_pipeline.intake.dicom_headers import enrich
    from dr_pipeline.intake.manifest import intake_report, manifest_rows, reading_rows
    from dr_pipeline.params.data_source import Dataset
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import MANIFEST_COLUMNS, READINGS_COLUMNS

    dataset = load_section(args.params, "dataset", Dataset)
    if not args.root.is_dir():
        raise DataError(
            "the data set's folder is missing" + (" (its link leads nowhere)" if args.root.is_symlink() else ""),
            where=str(args.root),
            todo="`dr-pipeline recipe NAME --root PATH` links it; the default data set is drawn by `dvc repro`",
        )
    intake = enrich(ADAPTERS[dataset.adapter](args.root, dataset), args.root, salt=dataset.pseudonym_salt)
    rows, unreadable = manifest_rows(intake, args.root, source=dataset.adapter)
    report = intake_report(intake, source=dataset.adapter, unreadable=unreadable)
    write_csv(args.manifest, MANIFEST_COLUMNS, rows)
    write_csv(args.readings, READINGS_COLUMNS, reading_rows(intake))
    write_json(args.report, report)
    grades = " / ".join(str(n) for n in report["grades"].values())
    orphans = len(intake.orphan_rows) + len(intake.orphan_files)
    twice = report["readings"]
    told = f"; {twice['photographs']} read by several graders, {twice['unanimous']} of them alike"
    readings = told if twice["photographs"] else ""
    warnings = "".join(f"\n  warning: {sentence}" for sentence in report["warnings"])
    return Outcome(
        wrote=(args.manifest, args.readings, args.report),
        headline=f"{len(rows)} photographs, grades 0–4: {grades}; {orphans} orphans{readings}{warnings}",
        next_command="dvc repro preprocess",
    )
