"""Writes the figures of graded photographs from a table of predictions, without the photographs.

With --labels the table is one that `score` wrote, and the labels are a CSV table with a column of names (image_id, or
the files' paths or names), one of grades and, if known, one of patients. Without it the table is one of `test` or
`validate`, which holds the readers' grades. Photographs without an answer count as referred (intention to screen).
Needs the extra `train`.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import inner_fraction
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

_REPLICATES, _SEED = 1000, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="CSV table of predictions")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="the readers' grades, for a table of `score`")
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="BUNDLE",
        help="the bundle that graded: checks its id, adds distances to its borders",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="JSON", help="the figures to write")
    parser.add_argument(
        "--prevalence",
        type=inner_fraction,
        nargs="+",
        default=[0.05, 0.1, 0.2],
        metavar="P",
        help="of referable disease, for predictive values (default: 0.05 0.1 0.2)",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Reads, evaluates, writes.

    Raises:
        DataError: A table cannot be used, see `read_evaluated`; the predictions are of another bundle.
        BundleError: The bundle is damaged.
    """
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.evaluation.evaluate_predictions import evaluate_predictions, read_evaluated, require_bundle
    from dr_pipeline.files import canonical_json, write_text
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.params.evaluation import Evaluation
    from dr_pipeline.scoring.input_safety import require_not_read

    require_not_read((args.out,), (args.predictions, args.labels))
    params = Evaluation(
        bootstrap_replicates=_REPLICATES,
        bootstrap_seed=_SEED,
        confidence=0.95,
        two_eye_fusion=False,
        prevalences=tuple(args.prevalence),
    )
    bundle = read_bundle(args.bundle, threads=1) if args.bundle else None
    evaluated = read_evaluated(args.predictions, args.labels)
    if bundle:
        require_bundle(evaluated, bundle.bundle_id, args.predictions)
    report = evaluate_predictions(evaluated, params, bundle.decision if bundle else None)
    write_text(args.out, canonical_json({"evaluation": report}), private=True)
    screened = report["screening"]["intention_to_screen"]
    lines = [
        f"QWK {format_estimate(report['qwk'])}; {report['without_answer']} of {report['photographs']} photographs "
        "without an answer",
        f"referable, ungradable counted as referred: sensitivity {format_estimate(screened['referable_sensitivity'])}, "
        f"specificity {format_estimate(screened['referable_specificity'])}",
        *(f"limit: {text}" for text in report["limits"]),
        RESEARCH_USE,
    ]
    return Outcome(wrote=(args.out,), headline="\n".join(lines), next_command="")
