"""Proposes candidates and training values from the data and this machine, each with its reason.

Reads what `dvc repro split` made; only development photographs are read. Writes plan.json and params.proposed.yaml, a
complete parameter file to read, edit, and copy over params.yaml, which is left alone.
"""

import argparse
import math
from dataclasses import fields
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares limits, and where the stages' files are."""
    parser.add_argument("--budget-minutes", type=_positive, metavar="N", help="time for all trainings together")
    parser.add_argument(
        "--latency-ms", type=_positive, metavar="N", help="file to grade, p95 (default: as params.yaml)"
    )
    parser.add_argument(
        "--weights",
        choices=("present", "timm", "package", "none"),
        default="present",
        help="initial weights: as the present candidates have them (default), timm's, those of packages (networks "
        "that no package has weights for are left out), or none",
    )
    parser.add_argument("--measure", action="store_true", help="time some training steps here, not only estimate them")
    for name, path, text in (
        ("params", "params.yaml", "the present parameters"),
        ("audited", "data/audited.csv", "what `audit` wrote"),
        ("splits", "data/splits.csv", "what `split` wrote"),
        ("canvases", "data/canvases", "what `preprocess` wrote"),
        ("gradability", "reports/gradability.json", "what `gradability` reported, if it has run"),
        ("selection", "reports/selection.json", "what `select` wrote, if it has run"),
        ("latency", "reports/latency", "folder that `latency` wrote, if it has run"),
        ("out", "plan", "folder to write"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(path), metavar="PATH", help=f"{text} ({path})")


def run(args: argparse.Namespace) -> Outcome:
    """Reads the data, proposes, writes; errors are those of `make_plan`."""
    from dr_pipeline.planning.make_plan import PlanOptions, make_plan
    from dr_pipeline.planning.plan_report import format_plan

    options = PlanOptions(**{field.name: getattr(args, field.name) for field in fields(PlanOptions)})
    inputs, proposal = make_plan(options)
    return Outcome(
        wrote=(options.proposed, options.report),
        headline=format_plan(inputs, proposal, measured=args.measure),
        next_command=f"read and edit {options.proposed}, copy it over {args.params}, then dvc repro",
    )


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, not {text!r}")
    return number
