"""Proposes candidates and training values from the data and this machine, each with its reason.

Reads what `dvc repro split` made; only development photographs are looked at. Writes plan.json and
params.proposed.yaml, a complete parameter file to read, edit, and copy over params.yaml, which is left alone.
"""

import argparse
import math
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
        choices=("present", "timm", "none"),
        default="present",
        help="first weights: as the present candidates have them (default), timm's, or none",
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
    """Looks at the data, proposes, writes.

    Raises:
        DataError: A stage has not run, or its files do not fit together.
        ParamsError: The present parameters are wrong, a time budget is asked for on a GPU without --measure, or the
            proposal would be written over the present parameters.
        EnvironmentProblem: No network fits this machine or the latency budget.
    """
    from dr_pipeline.files import write_json, write_text
    from dr_pipeline.params.params_file import read_document
    from dr_pipeline.params.root import load_params
    from dr_pipeline.params.yaml_text import with_values
    from dr_pipeline.planning.costs import Costs, Seconds
    from dr_pipeline.planning.fingerprint import read_fingerprint
    from dr_pipeline.planning.inputs import Asked, read_latency
    from dr_pipeline.planning.machine import this_machine
    from dr_pipeline.planning.plan_report import plan_json, table
    from dr_pipeline.planning.proposal import propose

    proposed = args.out / "params.proposed.yaml"
    load_params(args.params)
    present, machine, costs = read_document(args.params), this_machine(), Costs()
    _refuse(args, proposed, on_gpu=bool(machine.gpu))
    seconds = Seconds(machine, measure=args.measure)
    asked = Asked(
        fingerprint=read_fingerprint(
            audited=args.audited, splits=args.splits, canvases=args.canvases, gradability=args.gradability
        ),
        machine=machine,
        present=present,
        weights=args.weights,
        minutes=args.budget_minutes,
        latency_ms=args.latency_ms or present["deployment"]["latency_budget_ms"],
        latency=read_latency(args.selection, args.latency, costs),
        cost=costs,
        seconds=seconds if args.measure or not machine.gpu else None,
    )
    proposal = propose(asked)
    text = with_values(args.params.read_text(encoding="utf-8"), proposal.values, proposal.candidates)
    write_text(proposed, text)
    load_params(proposed)
    write_json(args.out / "plan.json", plan_json(asked, proposal, measured=args.measure))
    return Outcome(
        wrote=(proposed, args.out / "plan.json"),
        headline=table(asked, proposal, measured=args.measure),
        next_command=f"read and edit {proposed}, copy it over {args.params}, then dvc repro",
    )


def _refuse(args: argparse.Namespace, proposed: Path, *, on_gpu: bool) -> None:
    from dr_pipeline.errors import ParamsError

    if proposed.exists() and proposed.samefile(args.params):
        raise ParamsError(
            "the proposal would overwrite the parameters it is made from",
            where=str(proposed),
            todo="give another folder with --out",
        )
    if args.budget_minutes and on_gpu and not args.measure:
        raise ParamsError(
            "the time of a step is estimated for CPUs only",
            where="--budget-minutes",
            todo="add --measure, which times some steps on this GPU",
        )


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, not {text!r}")
    return number
