"""Makes a registered version of the bundle the champion, if its figures keep the margins of params.yaml.

Both versions graded the same photographs when they were tested. The lower bound of the paired difference of
quadratic-weighted kappa, and the difference of the sensitivity for referable disease, must not be below minus their
margins (section `promotion`); otherwise nothing is changed and the exit code is 2. The champion before keeps the alias
`previous`, to which `dr-pipeline rollback` goes back. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the version and the comparison."""
    parser.add_argument(
        "version",
        metavar="BUNDLE|VERSION",
        help="a registered bundle such as data/release, a version number, or an alias such as challenger",
    )
    parser.add_argument(
        "--on",
        choices=("test", "validation"),
        default="test",
        help="the photographs that both versions graded (default: test); on validation, whose photographs chose the "
        "epoch, each by decisions fitted on the others",
    )
    parser.add_argument(
        "--force",
        type=_reason,
        metavar="REASON",
        help="promote whatever the figures are; the reason becomes a tag of the version",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the parameters, with the margins")


def run(args: argparse.Namespace) -> Outcome:
    """Compares and promotes.

    Raises:
        GateError: The margins are not kept, or the versions were graded on different splits.
        DataError: There is no such version, or it has no graded photographs.
        BundleError: The bundle in the registry is damaged.
        EnvironmentProblem: The server is away.
    """
    from dr_pipeline.params.evaluation import Evaluation, Promotion
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.tracking.champion import promote
    from dr_pipeline.tracking.store import Store, files_root

    margins = load_section(args.params, "promotion", Promotion)
    evaluation = load_section(args.params, "evaluation", Evaluation)
    change = promote(
        Store(files_root(Path.cwd())), args.version, margins, evaluation, part=args.on, force=args.force or ""
    )
    before = f", after version {change.previous}" if change.previous else ""
    lines = [f"champion: version {change.champion}, bundle {change.bundle_id}{before}", *change.lines, RESEARCH_USE]
    return Outcome((), "\n".join(lines), "dr-pipeline rollback" if change.previous else "")


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a reason is needed")
    return " ".join(text.split())
