"""Scores a folder of photographs with a bundle: one row per file, always.

Walks FOLDER with its sub-folders (or takes one file) and writes predictions.csv. A file that is broken or no photograph
is a row with a status and a reason. What operating systems and file servers leave beside photographs (thumbnails,
deleted files, ._x.jpg) has no row, and is counted. Rows are written one by one to OUT.partial; OUT appears when all are
there. Exit code 0 means that every other file has a row. Research use only. Not a medical device.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.commands.argument_types import positive_int
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.scoring.folder import Summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the photographs: a folder, or one file")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle, such as data/release")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="the table to write")
    parser.add_argument(
        "--site", default="", metavar="NAME", help="use the quality threshold fitted for this site (default: of all)"
    )
    parser.add_argument(
        "--follow-links",
        action="store_true",
        help="follow links that lead out of FOLDER too (default: each is a row with the reason)",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out files and folders of this name or path below FOLDER, such as 'thumb_*'; may be repeated",
    )
    parser.add_argument(
        "--threads", type=positive_int, metavar="N", help="files scored at the same time (default: by cores and memory)"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Scores the folder."""
    start_s = time.monotonic()
    from dr_pipeline.folder_rules import FolderRules
    from dr_pipeline.logs import logger
    from dr_pipeline.machine import usable_threads
    from dr_pipeline.scoring.folder import partial_path, score_folder
    from dr_pipeline.scoring.scorer import Scorer

    scorer = Scorer.from_bundle(args.bundle, threads=1, site=args.site)
    try:
        rules = FolderRules(tuple(args.ignore), args.follow_links)
        summary = score_folder(args.folder, scorer, args.out, threads=args.threads or usable_threads(), rules=rules)
    except KeyboardInterrupt:
        logger.warning("\n%s holds the rows that were finished; %s was not written", partial_path(args.out), args.out)
        raise
    counts = ", ".join(f"{number} {status}" for status, number in summary.by_status.items())
    per_s = summary.files / (time.monotonic() - start_s)
    notes = [f"{summary.duplicates} with pixels seen before"] if summary.duplicates else []
    notes += [f"own table {path.name} inside FOLDER not scored" for path in summary.left_out]
    return Outcome(
        wrote=(args.out,),
        headline=f"{_total(summary)}: {'; '.join([counts, *notes])}; "
        f"bundle {scorer.bundle_id}; {per_s:.1f} files/s. {RESEARCH_USE}",
        next_command="",
    )


def _total(summary: "Summary") -> str:
    """`20 files = 20 rows`, or with what has no row `95 files = 20 rows + 75 left out (75 system files)`."""
    from dr_pipeline.folder_rules import describe_counts

    num_left_out = sum(summary.no_part.values())
    left_out = f" + {num_left_out} left out ({describe_counts(summary.no_part)})" if num_left_out else ""
    return f"{summary.files + num_left_out} files = {summary.files} rows{left_out}"
