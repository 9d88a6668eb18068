"""Makes a review page of scored photographs: a folder that opens in a browser from disk, most informative first.

A person filters, enlarges and grades the photographs there. The browser keeps the readings and exports them as a CSV,
which `intake` reads for the next training. Run the command again to go on where it was interrupted.

With --readings the command checks such exports, of one reader or several, against PREDICTIONS, and writes one table of
them to OUT, with the names that a page made with --hide-patients has not.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import positive_int, positive_seconds
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="the table that `score` wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="the folder to make")
    parser.add_argument(
        "--readings",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="exports of the page: makes no page, but one table of them for `intake`, the file OUT",
    )
    parser.add_argument(
        "--photographs",
        nargs="+",
        action="extend",
        default=[],
        metavar="SOURCE",
        help="where the photographs are now (default: where the run found them)",
    )
    parser.add_argument(
        "--full-px", type=_full_px, default=2048, metavar="PX", help="longest side of a full picture (default: 2048)"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--hide-patients",
        action="store_true",
        help="leave out patients, visits, sites, paths and ids, and pictures of what is no fundus",
    )
    shown.add_argument(
        "--whole-frame",
        action="store_true",
        help="show what lies outside the field of view too, where cameras write names",
    )
    parser.add_argument("--workers", type=positive_int, metavar="N", help="processes (default: by cores and memory)")
    parser.add_argument(
        "--time-limit", type=positive_seconds, default=60.0, metavar="SECONDS", help="for one photograph (default: 60)"
    )


def _full_px(text: str) -> int:
    """The side of a full picture in pixels."""
    side_px = positive_int(text)
    if not 256 <= side_px <= 16_384:
        raise argparse.ArgumentTypeError(f"a whole number from 256 to 16384 is needed, not {text!r}")
    return side_px


def _collect(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.clinic.review.collect_readings import collect_readings, write_collected
    from dr_pipeline.scoring.input_safety import require_not_read

    require_not_read((args.out,), (*args.readings, args.predictions))
    readings = collect_readings(args.readings, args.predictions)
    write_collected(args.out, readings)
    readers = len({reading.grader for reading in readings})
    photographs = len({reading.number for reading in readings})
    return Outcome(
        wrote=(args.out,),
        headline=f"{len(readings)} readings of {photographs} photographs by {readers} readers. {RESEARCH_USE}",
        next_command="",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Makes the page, or the table of readings."""
    if args.readings:
        return _collect(args)
    from dr_pipeline.clinic.review.make_review import ReviewOptions, make_review
    from dr_pipeline.engines.choice import EngineChoice
    from dr_pipeline.logs import logger

    review = make_review(
        args.predictions,
        args.out,
        sources=tuple(args.photographs),
        options=ReviewOptions(args.full_px, args.whole_frame, args.hide_patients),
        engine=EngineChoice(workers=args.workers),
        time_limit_s=args.time_limit,
    )
    for reason, number in review.missing.items():
        logger.warning("%d without a picture: %s", number, reason)
    kept = f", {review.kept} pictures of an earlier run" if review.kept else ""
    return Outcome(
        wrote=(review.page,),
        headline=f"{review.photographs} photographs, {sum(review.missing.values())} without a picture{kept}. "
        f"{RESEARCH_USE}",
        next_command="",
    )
