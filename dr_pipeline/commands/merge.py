"""Merges the shards of one scoring run into one table, and proves that they are the whole of it.

Each `dr-pipeline score … --num-shards N --shard-index I` leaves a journal beside its table. All N must be there, once
each, finished, of the same bundle, options and files. The result has the bytes of one run over everything.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.score_arguments import add_destination_arguments
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add_destination_arguments(parser, "out")
    parser.add_argument(
        "shards",
        nargs="+",
        metavar="SHARD",
        help="the tables that the shards' runs wrote, in any order: paths, or s3:// addresses",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Merges the shards."""
    from tempfile import TemporaryDirectory

    from dr_pipeline.scoring.destination import Destination
    from dr_pipeline.scoring.input_safety import require_not_read
    from dr_pipeline.scoring.merge import local_shards, merge
    from dr_pipeline.scoring.outputs import lesion_paths
    from dr_pipeline.scoring.run_manifest import manifest_path, read_manifest
    from dr_pipeline.scoring.summary import headline

    destination = Destination.of(args.out, args.work_dir)
    require_not_read((destination.table,), map(Path, args.shards))
    destination.require_writable()
    with TemporaryDirectory(prefix="shards-") as folder:
        summary = merge(destination.table, local_shards(args.shards, Path(folder)))
    table = destination.table
    beside = [table.with_name(name) for name in read_manifest(table)["outputs"] if name != table.name]
    others = [path for path in lesion_paths(table) if path not in beside]
    return Outcome(
        wrote=destination.upload((table, *beside, manifest_path(table)), others),
        headline=f"{len(args.shards)} shards complete; {headline(summary)}. {RESEARCH_USE}",
        next_command="",
    )
