"""Looks at the folders of several sources, so that a changed file is noticed.

DVC's dependencies are fixed paths, and `dataset.sources` may name any number of folders; this file is the dependency
that stands for them. It runs at every `dvc repro` and writes the same bytes where nothing changed.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()  # runs every time, whatever the parameters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths, which dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, metavar="PATH", help="params.yaml; reads dataset.sources")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="JSON to write: a digest per source")


def run(args: argparse.Namespace) -> Outcome:
    """Lists, hashes, writes; see `source_digests`.

    Raises:
        ParamsError: params.yaml cannot be read.
        DataError: The folder of a source is missing.
    """
    from dr_pipeline.files import write_json
    from dr_pipeline.intake.source_files import source_digests

    digests = source_digests(args.params)
    write_json(args.out, digests)
    counts = ", ".join(f"{source['source']} {source['files']} files" for source in digests["sources"])
    return Outcome(
        wrote=(args.out,), headline=counts or "one data set, no further sources", next_command="dvc repro intake"
    )
