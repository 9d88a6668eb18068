"""Scores photographs with a bundle: one row per file, always.

Takes folders with their sub-folders, files, archives, lists and object stores, and writes a table. A file that is
broken or no photograph is a row with a status and a reason. What operating systems and file servers leave beside
photographs (thumbnails, deleted files, ._x.jpg) has no row, and is counted. Rows are written one by one to OUT.partial;
OUT appears when all are there, with a manifest of the run beside it. A run that was interrupted goes on with --resume.
Exit code 0 means that every other file has a row. Research use only. Not a medical device.
"""

import argparse
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_pipeline.commands.argument_types import positive_int, positive_seconds, whole_number
from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.scoring.folder import Summary
    from dr_pipeline.scoring.sources.people import PeopleSources


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    _add_source_arguments(parser)
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle, such as data/release")
    add_destination_arguments(parser, "--out", required=True)
    parser.add_argument(
        "--site", default="", metavar="NAME", help="use the quality threshold fitted for this site (default: of all)"
    )
    _add_people_arguments(parser)
    _add_run_arguments(parser)


def _add_source_arguments(parser: argparse.ArgumentParser) -> None:
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


def _add_people_arguments(parser: argparse.ArgumentParser) -> None:
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
        DataError: There is none.
    """
    from dr_pipeline.errors import DataError
    from dr_pipeline.scoring.sources.objects import is_address

    sources = [*args.sources, *(f"@{name}" for name in args.lists)]
    if not sources:
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


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    add_engine_arguments(parser)
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


def run(args: argparse.Namespace) -> Outcome:
    """Scores the folder."""
    start_s = time.monotonic()
    from dr_pipeline.bundle.bundle_files import REFERENCE
    from dr_pipeline.bundle.identity import identify_bundle
    from dr_pipeline.errors import DataError
    from dr_pipeline.folder_rules import FolderRules
    from dr_pipeline.logs import logger
    from dr_pipeline.scoring.destination import Destination
    from dr_pipeline.scoring.folder import Run, results_of, score
    from dr_pipeline.scoring.outputs import partial_path
    from dr_pipeline.scoring.shards import Shard
    from dr_pipeline.scoring.watch import watch

    destination = Destination.of(args.out, args.work_dir)
    if args.watch and destination.address:
        raise DataError("an object store cannot add rows to a table", todo="watch with --out and a path")
    destination.require_writable()
    rules, shard = FolderRules(tuple(args.ignore), args.follow_links), Shard(args.shard_index, args.num_shards)
    out = destination.table
    scoring = Run(
        sources_from(args), args.bundle, out, site=args.site, rules=rules, shard=shard, people=people_from(args)
    )
    bundle = identify_bundle(args.bundle)
    engine = engine_choice(args).engine(scoring.task(bundle.bundle_id), time_limit_s=args.time_limit)
    try:
        with stopped_by_sigterm(), engine:
            if args.watch:
                summary = watch(scoring, bundle, engine)
            else:
                summary = score(scoring, bundle, engine, resume=args.resume)
    except KeyboardInterrupt:
        partial = partial_path(out)
        logger.warning("\n%s holds the rows that were finished; --resume goes on and writes %s", partial, out)
        raise
    if REFERENCE in bundle.sha256 and not args.watch and shard.count == 1:
        from dr_pipeline.clinic.drift.glance import glance

        if notice := glance(out, args.bundle):
            logger.warning("warning: %s", notice)
    per_s = (summary.files - summary.resumed) / (time.monotonic() - start_s)
    return Outcome(
        wrote=destination.upload(results_of(scoring)),
        headline=f"{headline(summary, people=bool(scoring.people))}; {per_s:.1f} files/s. {RESEARCH_USE}",
        next_command="",
    )


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """What ends a job or a service interrupts the run as Ctrl-C does; it can be resumed."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def headline(summary: "Summary", *, people: bool = False) -> str:
    """`20 files = 20 rows: 18 scored, …; bundle …`, with what else there is to know."""
    counts = ", ".join(f"{number} {status}" for status, number in summary.by_status.items())
    notes = [f"{summary.duplicates} with pixels seen before"] if summary.duplicates else []
    if people:
        notes.append(f"{summary.nameless} without patient, eye, visit and site")
    notes += [f"own file {path.name} inside a source not scored" for path in summary.left_out]
    notes += [f"{summary.resumed} rows of an earlier session"] if summary.resumed else []
    return f"{_total(summary)}: {'; '.join([counts, *notes])}; bundle {summary.bundle_id}"


def _total(summary: "Summary") -> str:
    """`20 files = 20 rows`, or with what has no row `95 files = 20 rows + 75 left out (75 system files)`."""
    from dr_pipeline.folder_rules import describe_counts

    num_left_out = sum(summary.no_part.values())
    left_out = f" + {num_left_out} left out ({describe_counts(summary.no_part)})" if num_left_out else ""
    return f"{summary.files + num_left_out} files = {summary.files} rows{left_out}"
