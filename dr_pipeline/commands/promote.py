"""Makes a registered version of the bundle the champion, if it is not worse by the margins of params.yaml.

The comparison is that of `dr-pipeline compare`: of the photographs that both versions graded when they were tested, or
a comparison.json of the two bundles. Each endpoint must not be inferior by its margin (section `promotion`); otherwise
nothing is changed and the exit code is 2. The champion before keeps the alias `previous`, to which `dr-pipeline
rollback` goes back. Research use only. Not a medical device.
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
    on = parser.add_mutually_exclusive_group()
    on.add_argument(
        "--on",
        choices=("test", "validation"),
        default="test",
        help="the photographs that both versions graded (default: test); on validation, whose photographs chose the "
        "epoch, each by decisions fitted on the others",
    )
    on.add_argument(
        "--comparison",
        type=Path,
        metavar="JSON",
        help="comparison.json that `dr-pipeline compare CHAMPION BUNDLE` wrote on other photographs, such as a site's",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the comparison there, as `compare` does")
    parser.add_argument(
        "--force",
        type=_reason,
        metavar="REASON",
        help="promote whatever the figures are; the reason becomes a tag of the version",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the parameters, with the margins")
    add_lock_argument(parser)


def add_lock_argument(parser: argparse.ArgumentParser) -> None:
    """Declares what to do with a lock; `rollback` has it too."""
    parser.add_argument(
        "--break-lock",
        action="store_true",
        help="remove the lock of another promotion or rollback first, such as of one whose process has died",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Compares and promotes.

    Raises:
        GateError: The margins are not kept, or the versions were graded on different splits.
        DataError: There is no such version, or it has no graded photographs.
        BundleError: The bundle in the registry is damaged.
        EnvironmentProblem: The server is away, or somebody else changes the champion.
    """
    from dr_pipeline.evaluation.comparison_report import Comparison
    from dr_pipeline.params.evaluation import Evaluation
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.promotion import Promotion
    from dr_pipeline.reporting.comparison_page import write_comparison
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.tracking.champion import Rule, promote
    from dr_pipeline.tracking.store import Store, files_root

    wrote: list[Path] = []

    def show(comparison: Comparison) -> None:
        if args.out:
            wrote.extend(write_comparison(args.out, comparison))

    rule = Rule(
        load_section(args.params, "promotion", Promotion).margins,
        load_section(args.params, "evaluation", Evaluation),
        part=args.on,
        comparison=args.comparison,
        force=args.force or "",
        show=show,
    )
    change = promote(Store(files_root(Path.cwd())), args.version, rule, break_lock=args.break_lock)
    before = f", after version {change.previous}" if change.previous else ""
    lines = [f"champion: version {change.champion}, bundle {change.bundle_id}{before}", *change.lines, RESEARCH_USE]
    return Outcome(tuple(wrote), "\n".join(lines), "dr-pipeline rollback" if change.previous else "")


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a reason is needed")
    return " ".join(text.split())
