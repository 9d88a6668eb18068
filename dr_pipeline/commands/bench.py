"""Measures how fast this machine scores a folder, and where the time goes.

Runs `score` on FOLDER as it is, then the pixel path and the network alone with all cores full, which is the ideal, and
every step on one core. Nothing is kept. Figures of a machine that does other work too mean little. Research use only.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import positive_int
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("what", choices=["score"], metavar="score", help="what to measure: score")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photographs such as those to be scored")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle, such as data/release")
    parser.add_argument(
        "--limit", type=positive_int, default=200, metavar="N", help="photographs for the steps (default 200)"
    )
    parser.add_argument(
        "--price-per-hour",
        type=float,
        metavar="X",
        help="price of this machine per hour, for the cost of 1,000 files",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Measures and prints."""
    from dr_pipeline.machine import describe_machine, usable_processes
    from dr_pipeline.scoring.sources.listing import list_entries
    from dr_pipeline.scoring.throughput import measure_throughput

    files = [Path(entry.location) for entry in list_entries([str(args.folder)]) if not entry.left_out]
    measured = measure_throughput(args.bundle, args.folder, files, limit=args.limit, workers=usable_processes())
    machine = describe_machine()
    total_ms = sum(measured.steps_ms.values())
    lines = [
        f"{measured.files} files in {measured.whole_s:.1f} s, start included: {measured.files_per_s:.1f} files/s",
        f"ideal {measured.ideal_per_s:.1f} files/s ({measured.workers} processes; pixel path alone "
        f"{1 / measured.pixel_path_s:.1f}/s, network alone {1 / measured.network_s:.1f}/s): "
        f"{measured.files_per_s / measured.ideal_per_s:.0%} of the ideal",
        f"one photograph on one core, medians of {measured.photographs}:",
        *(f"  {step:9s} {ms:6.2f} ms  {ms / total_ms:4.0%}" for step, ms in measured.steps_ms.items()),
        f"  {'sum':9s} {total_ms:6.2f} ms",
    ]
    if args.price_per_hour is not None:
        lines.append(f"1,000 files: {measured.cost_per_1000(args.price_per_hour):.4f} at {args.price_per_hour} an hour")
    lines.append(f"{machine['cpu']}, {machine['usable_cores']} cores, Python {machine['python']}. {RESEARCH_USE}")
    return Outcome(wrote=(), headline="\n".join(lines), next_command="")
