"""The arguments of `score`: sources, people, destination, and how the work is done."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_pipeline.commands.argument_types import positive_int, positive_seconds, whole_number
from dr_pipeline.commands.engine_arguments import add_engine_arguments

if TYPE_CHECKING:
    from dr_pipeline.scoring.sources.people import PeopleSources


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the photographs."""
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="the photographs: folders, files, zip or tar archives, addresses such as s3://bucket/folder",
    )
    parser.add_argument(
        "--list",
        dest="lists",
        action="append",
        default=[],
        metavar="FILE",
        help="text that names one path or address a line, paths relative to its folder; may be repeated (or @FILE)",
    )
    parser.add_argument(
        "--follow-links",
        action="store_true",
        help="follow links that lead out of a folder too (default: each is a row with the reason)",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out files and folders of this name or path below SOURCE, such as 'thumb_*'; may be repeated",
    )


def add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares where patient, eye, visit and site come from."""
    parser.add_argument(
        "--pattern",
        default="",
        metavar="TEXT",
        help="where paths have patient, eye, visit and site, such as '{site}/{patient}_{visit}_{eye}.*'",
    )
    parser.add_argument(
        "--people",
        type=Path,
        metavar="CSV",
        help="table with a column path, file, filename or image, and any of patient, eye, visit and site",
    )
    parser.add_argument(
        "--dicom-people",
        action="store_true",
        help="take patient (as a pseudonym), eye and date of the study from DICOM headers",
    )
    parser.add_argument(
        "--pseudonym-salt",
        default="dr-pipeline",
        metavar="TEXT",
        help="of the pseudonyms, as dataset.pseudonym_salt in params.yaml (default: dr-pipeline)",
    )


def sources_from(args: argparse.Namespace) -> tuple[str, ...]:
    """The sources, which mean the same in every folder from which the run goes on.

    Raises:
        DataError: There is none, or one is empty, as from a variable that is not set: it would mean this folder.
    """
    from dr_pipeline.errors import DataError
    from dr_pipeline.scoring.sources.objects import is_address

    sources = [*args.sources, *(f"@{name}" for name in args.lists)]
    if not sources or not all(source.removeprefix("@") for source in sources):
        raise DataError("no photographs are named", where="score", todo="name a SOURCE or --list FILE")
    return tuple(
        source if is_address(source) else "@" * is_list + str(Path(source[is_list:]).absolute())
        for source in sources
        for is_list in [source.startswith("@")]
    )


def people_from(args: argparse.Namespace) -> "PeopleSources":
    """Where patient, eye, visit and site come from."""
    from dr_pipeline.scoring.sources.people import PeopleSources

    return PeopleSources(args.people, args.pattern, args.pseudonym_salt if args.dicom_people else "")


def add_destination_arguments(parser: argparse.ArgumentParser, name: str, **options: Any) -> None:
    """Declares where the table goes."""
    parser.add_argument(
        name,
        metavar="FILE",
        help="the table to write: .csv, .jsonl or .parquet; a path, or an s3:// address",
        **options,
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="for a table on an object store: the folder of this machine in which the run works until it uploads",
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Declares the device."""
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where the network runs; cuda: batches on an NVIDIA GPU, with onnxruntime-gpu (default: cpu)",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares engine, limits, resuming, shards and watching."""
    add_engine_arguments(parser)
    add_device_argument(parser)
    parser.add_argument(
        "--time-limit",
        type=positive_seconds,
        default=60.0,
        metavar="SECONDS",
        help="a file that takes longer is a row with that reason (default: 60)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was interrupted; the table will be the same"
    )
    parser.add_argument(
        "--num-shards", type=positive_int, default=1, metavar="N", help="share the files out over N runs (see merge)"
    )
    parser.add_argument(
        "--shard-index", type=whole_number, default=0, metavar="I", help="which of them this is, from 0"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="score what is in the folder SOURCE and what arrives there, until stopped; OUT grows by whole rows",
    )
