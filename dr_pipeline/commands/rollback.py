"""Makes the previous champion of the registry the champion again.

The two change places: another rollback undoes it. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.promote import add_lock_argument
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the reason."""
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; becomes part of the record of the change")
    add_lock_argument(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Swaps the aliases `champion` and `previous`.

    Raises:
        DataError: There is no previous champion.
        BundleError: Its bundle in the registry is damaged.
        EnvironmentProblem: The server is away, or somebody else changes the champion.
    """
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.tracking.champion import rollback
    from dr_pipeline.tracking.store import Store, files_root

    change = rollback(Store(files_root(Path.cwd())), reason=" ".join(args.reason.split()), break_lock=args.break_lock)
    lines = [f"champion: version {change.champion}, bundle {change.bundle_id}, again", RESEARCH_USE]
    return Outcome((), "\n".join(lines), f"dr-pipeline promote {change.previous}")
