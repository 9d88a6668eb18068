"""Scores a folder of photographs with a bundle: one row per file, always.

Walks FOLDER with its sub-folders (or takes one file) and writes predictions.csv. A file that is broken or no photograph
is a row with a status and a reason. Rows are written one by one to OUT.partial; OUT appears when all are there.
Exit code 0 means that every file has a row. Research use only. Not a medical device.
"""

import argparse
import time
from pathlib import Path

from dr_pipeline.commands.argument_types import positive_int
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the photographs: a folder, or one file")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle, such as data/release")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="the table to write")
    parser.add_argument(
        "--site", default="", metavar="NAME", help="use the quality threshold fitted for this site (default: of all)"
    )
    parser.add_argument(
        "--threads", type=positive_int, metavar="N", help="files scored at the same time (default: by cores and memory)"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Scores the folder."""
    start_s = time.monotonic()
    from dr_pipeline.logs import logger
    from dr_pipeline.machine import usable_threads
    from dr_pipeline.scoring.folder import partial_path, score_folder
    from dr_pipeline.scoring.scorer import Scorer

    scorer = Scorer.from_bundle(args.bundle, threads=1, site=args.site)
    try:
        summary = score_folder(args.folder, scorer, args.out, threads=args.threads or usable_threads())
    except KeyboardInterrupt:
        logger.warning("\n%s holds the rows that were finished; %s was not written", partial_path(args.out), args.out)
        raise
    counts = ", ".join(f"{number} {status}" for status, number in summary.by_status.items())
    per_s = summary.files / (time.monotonic() - start_s)
    notes = [f"{summary.duplicates} with pixels seen before"] if summary.duplicates else []
    notes += [f"own table {path.name} inside FOLDER not scored" for path in summary.left_out]
    return Outcome(
        wrote=(args.out,),
        headline=f"{summary.files} files = {summary.files} rows: {'; '.join([counts, *notes])}; "
        f"bundle {scorer.bundle_id}; {per_s:.1f} files/s. {RESEARCH_USE}",
        next_command="",
    )
