"""Measures how a bundle grades when camera or readers differ: the shift suite.

Passes graded photographs, on which the network was not trained, through models of other cameras (colour, light, blur,
resolution, field, JPEG) and grades the shifted files by the whole path; and compares the grades with those of readers
who draw a border elsewhere. Writes shifts.json and shifts.csv: for each shift and level what is rejected, kappa, the
referable AUC of three scores and the calibration, with paired intervals against the photographs as they are, and the
worst. No shifted photograph is kept. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_pipeline.commands.argument_types import positive_int, whole_number
from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.intake.graded_files import GradedFile

_TIME_LIMIT_S = 600.0  # of one photograph under all shifts
_CONFIDENCE = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle, such as data/release")
    parser.add_argument(
        "--photographs", type=Path, required=True, metavar="DIR", help="their folder: the paths of --labels start there"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="CSV",
        help="table with a column path, file, filename or image, a column grade, and patient where known; "
        "with --splits the manifest",
    )
    parser.add_argument("--splits", type=Path, metavar="CSV", help="data/splits.csv: take one part of the manifest")
    parser.add_argument(
        "--part", choices=("test", "development"), default="test", help="which part of --splits (default: test)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--family", action="append", default=[], metavar="NAME", help="only this camera model; may be repeated"
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="N photographs, drawn with --seed")
    parser.add_argument(
        "--site", default="", metavar="NAME", help="use the quality threshold fitted for this site (default: of all)"
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="of all draws (default: 0)")
    parser.add_argument(
        "--replicates", type=positive_int, default=2000, metavar="N", help="of the bootstrap (default: 2000)"
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
    files = _graded_files(args)
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


def _graded_files(args: argparse.Namespace) -> "list[GradedFile]":
    import random

    from dr_pipeline.intake.graded_files import read_graded_folder, read_split_part

    if args.splits:
        files = read_split_part(args.photographs, args.labels, args.splits, args.part)
    else:
        files = read_graded_folder(args.photographs, args.labels)
    if args.limit and args.limit < len(files):
        files = random.Random(args.seed).sample(files, args.limit)  # noqa: S311 (no secret)
    return files


def _headline(report: dict[str, Any]) -> str:
    from dr_pipeline.metrics.intervals import format_estimate

    lines = [f"{report['n']} photographs; QWK as they are: {format_estimate(report['clean']['all']['qwk'])}"]
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
