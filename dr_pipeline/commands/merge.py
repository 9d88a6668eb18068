"""Merges the shards of one scoring run into one table, and proves that they are the whole of it.

Each `dr-pipeline score … --num-shards N --shard-index I` leaves a journal beside its table. All N must be there, once
each, finished, of the same bundle, options and files. The result has the bytes of one run over everything.
"""

import argparse
from pathlib import Path

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("out", type=Path, metavar="OUT", help="the table to write: .csv, .jsonl or .parquet")
    parser.add_argument(
        "shards", type=Path, nargs="+", metavar="SHARD", help="the tables that the shards' runs wrote, in any order"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Merges the shards."""
    from dr_pipeline.commands.score import headline
    from dr_pipeline.scoring.merge import merge
    from dr_pipeline.scoring.run_manifest import manifest_path

    summary = merge(args.out, args.shards)
    return Outcome(
        wrote=(args.out, manifest_path(args.out)),
        headline=f"{len(args.shards)} shards complete; {headline(summary)}. {RESEARCH_USE}",
        next_command="",
    )
