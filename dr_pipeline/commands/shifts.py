"""Measures how a bundle grades when camera or readers differ: the shift suite.

Passes graded photographs through models of other cameras (colour, light, blur, resolution, field, JPEG) and grades the
shifted files by the whole path; and compares the grades with those of readers who draw a border elsewhere. Writes
shifts.json and shifts.csv: for each shift and level what is rejected, kappa, the referable AUC of three scores and the
calibration, with paired intervals against the photographs as they are, and the worst. Photographs of patients that the
bundle was developed on, as far as their pixels show it, are left out and counted, and so are copies. No shifted
photograph is kept. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path
from typing import Any

from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.commands.graded_arguments import add_graded_arguments, graded_files
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

_TIME_LIMIT_S = 600.0  # of one photograph under all shifts
_CONFIDENCE = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle, such as data/release")
    add_graded_arguments(parser, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--family", action="append", default=[], metavar="NAME", help="only this camera model; may be repeated"
    )
    parser.add_argument("--plot", action="store_true", help="draw shifts.png too; needs the extra `train`")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Reads, grades, writes."""
    from dr_pipeline.bundle.identity import identify_bundle
    from dr_pipeline.deployment.shift_suite import FAMILIES, ShiftTask, evaluate_shifts
    from dr_pipeline.errors import DataError
    from dr_pipeline.files import write_json
    from dr_pipeline.tables.shifts import shift_rows, write_shifts

    unknown = sorted(set(args.family) - set(FAMILIES))
    if unknown:
        raise DataError(f"no camera model {', '.join(unknown)}", where="--family", todo=f"use {', '.join(FAMILIES)}")
    files = graded_files(args)
    families = tuple(name for name in FAMILIES if name in args.family) or FAMILIES
    task = ShiftTask(args.bundle, families, site=args.site, seed=args.seed)
    bundle = identify_bundle(args.bundle)
    with engine_choice(args).engine(task, time_limit_s=_TIME_LIMIT_S) as engine:
        drawn: Any = {"replicates": args.replicates, "seed": args.seed, "confidence": _CONFIDENCE}
        report = {"bundle_id": bundle.bundle_id} | evaluate_shifts(files, task, engine, drawn)
    wrote = [args.out / "shifts.json", args.out / "shifts.csv"]
    write_json(wrote[0], report)
    write_shifts(wrote[1], shift_rows(report))
    if args.plot:
        from dr_pipeline.files import atomic_write
        from dr_pipeline.reporting.plot_style import png
        from dr_pipeline.reporting.shift_plot import plot_shifts

        wrote.append(args.out / "shifts.png")
        with atomic_write(wrote[2]) as stream:
            stream.write(png(plot_shifts(report)))
    return Outcome(wrote=tuple(wrote), headline=_headline(report), next_command="")


def _headline(report: dict[str, Any]) -> str:
    from dr_pipeline.metrics.intervals import format_estimate

    lines = [f"{report['n']} photographs; QWK as they are: {format_estimate(report['clean']['all']['qwk'])}"]
    left_out = report["left_out"]
    if any(left_out.values()):
        lines.append(
            f"left out: {left_out['seen']} that the bundle was developed on, {left_out['related']} others of their "
            f"patients, {left_out['copies']} copies"
        )
    if report["failed"]:
        failures = ", ".join(f"{count}: {reason}" for reason, count in report["failed"].items())
        lines.append(f"{sum(report['failed'].values())} could not be decoded ({failures})")
    for kind, worst in report["worst"].items():
        for among, of in (("all", "of all with an answer"), ("gradable", "of those still gradable")):
            qwk = worst[among]["qwk"]
            if qwk:
                change = format_estimate(qwk["change"])
                lines.append(f"worst {kind} shift {of}: {qwk['family']}, {qwk['level']}: QWK changes by {change}")
    for score, worst in report["scores"].items():
        where = f"{worst['kind']} {worst['family']}, {worst['level']}"
        lines.append(f"referable AUC of {score}: at most {worst['shortfall']:.3f} below the best score ({where})")
    return "\n".join([*lines, RESEARCH_USE])
