"""Scores rows of a finished table again, with the bundle that made it, and shows that they are equal.

Reads the run's manifest beside the table. Exit code 0 means that every row that was scored again is the same; what
differs is shown by the row's number.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import positive_int, positive_seconds
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

_MAX_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("out", type=Path, metavar="OUT", help="the table, its manifest beside it")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle that made it")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="SOURCE",
        help="where the photographs are now (default: where the run found them); may be repeated",
    )
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--id", default="", metavar="IMAGE_ID", help="the one row to score again")
    rows.add_argument(
        "--sample", type=positive_int, default=10, metavar="N", help="this many rows, the same each time (default: 10)"
    )
    parser.add_argument(
        "--time-limit", type=positive_seconds, default=60.0, metavar="SECONDS", help="for one file (default: 60)"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Scores the rows again.

    Raises:
        GateError: A row differs, or its file is gone.
    """
    from dr_pipeline.errors import GateError
    from dr_pipeline.logs import logger
    from dr_pipeline.scoring.replay import replay

    replayed = replay(
        args.out,
        args.bundle,
        sources=tuple(args.source),
        image_id=args.id,
        sample=args.sample,
        time_limit_s=args.time_limit,
    )
    if replayed.altered:
        logger.warning("%s is not the file that the run wrote: its hash is not the manifest's", args.out)
    lines = []
    for row in replayed.rows:
        if row.missing:
            lines.append(f"row {row.number}: its file is not there any more")
        elif row.differences:
            changes = (
                f"{column} {was or 'empty'} → {now or 'empty'}" for column, (was, now) in row.differences.items()
            )
            lines.append(f"row {row.number}: {', '.join(changes)}")
    if lines:
        shown = "\n".join(f"  {line}" for line in lines[:_MAX_SHOWN])
        raise GateError(f"{len(lines)} of {len(replayed.rows)} rows differ:\n{shown}", where=str(args.out))
    return Outcome(
        wrote=(), headline=f"{len(replayed.rows)} rows scored again, all equal. {RESEARCH_USE}", next_command=""
    )
