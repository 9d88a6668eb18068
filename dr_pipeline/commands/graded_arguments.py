"""The arguments of verbs that grade photographs with known grades."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.commands.argument_types import positive_int, whole_number

if TYPE_CHECKING:
    from dr_pipeline.intake.graded_files import GradedFile


def add_graded_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Declares the photographs, their labels, the part of a split, and how many of them."""
    parser.add_argument(
        "--photographs",
        type=Path,
        required=required,
        metavar="DIR",
        help="their folder: the paths of --labels start there",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        required=required,
        metavar="CSV",
        help="table with a column of names (path, image, file …), one of grades (grade, level …), and patient "
        "where known; with --splits the manifest",
    )
    parser.add_argument("--splits", type=Path, metavar="CSV", help="data/splits.csv: take one part of the manifest")
    parser.add_argument(
        "--part", choices=("test", "development"), default="test", help="which part of --splits (default: test)"
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="N photographs, drawn with --seed")
    parser.add_argument(
        "--site", default="", metavar="NAME", help="use the quality threshold fitted for this site (default: of all)"
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="of all draws (default: 0)")
    parser.add_argument(
        "--replicates", type=positive_int, default=2000, metavar="N", help="of the bootstrap (default: 2000)"
    )


def graded_files(args: argparse.Namespace) -> "list[GradedFile]":
    """The photographs with their grades.

    Raises:
        DataError: A table cannot be used, or a photograph is not there.
    """
    import random

    from dr_pipeline.intake.graded_files import read_graded_folder, read_split_part

    if args.splits:
        files = read_split_part(args.photographs, args.labels, args.splits, args.part)
    else:
        files = read_graded_folder(args.photographs, args.labels)
    if args.limit and args.limit < len(files):
        files = random.Random(args.seed).sample(files, args.limit)  # noqa: S311 (no secret)
    return files
