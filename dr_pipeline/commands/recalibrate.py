"""Fits a bundle's decision to another site, from photographs that its readers graded; the network stays the same.

With --labels: temperature, cut points, operating point and review margin are fitted on at least 50 gradable
photographs, and a child bundle is written that names its parent. Its figures before and after are of photographs held
out. With photographs without labels: --class-shares estimates the grades' shares, which changes no bundle;
--adapt-batch-norm writes a child whose normalisation is that of these photographs, which nobody has validated.
Needs the extra `train`. Research use only. Not a medical device.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.commands.argument_types import inner_fraction
from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word

if TYPE_CHECKING:
    from dr_pipeline.deployment.recalibrate_bundle import Options

_SEED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the parent, such as data/release")
    parser.add_argument("--photographs", type=Path, required=True, metavar="FOLDER", help="the site's photographs")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="table of their grades, with patients if known")
    parser.add_argument(
        "--out", type=Path, metavar="CHILD", help="the child bundle to write, with --labels or --adapt-batch-norm"
    )
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="its photographs one by one (default: beside CHILD, CHILD.csv)"
    )
    parser.add_argument("--class-shares", type=Path, metavar="JSON", help="estimate the grades' shares without labels")
    parser.add_argument(
        "--adapt-batch-norm",
        action="store_true",
        help="re-estimate the statistics of batch normalisation without labels (AdaBN); with --out",
    )
    parser.add_argument("--site", default="", metavar="NAME", help="name of the site")
    for name, usual in (("key", "path, image, file"), ("grade", "grade, level, diagnosis"), ("patient", "patient")):
        parser.add_argument(
            f"--{name}-column",
            default="",
            metavar="NAME",
            help=f"column of the label table (default: {usual} and other usual names)",
        )
    parser.add_argument(
        "--sensitivity", type=inner_fraction, default=0.9, help="target for referable disease (default: 0.9)"
    )
    parser.add_argument(
        "--review", type=inner_fraction, default=0.1, help="fraction of photographs for human review (default: 0.1)"
    )
    parser.add_argument(
        "--max-width",
        type=inner_fraction,
        metavar="WIDTH",
        help="refuse if the interval of the held-out kappa is wider",
    )
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Fits with labels, or estimates or adapts without."""
    from dr_pipeline.errors import DataError

    if args.adapt_batch_norm:
        return _adapt_batch_norm(args)
    if args.class_shares and not (args.labels or args.out):
        return _estimate_class_shares(args)
    if args.labels and args.out and not args.class_shares:
        return _recalibrate(args)
    raise DataError(
        "give --labels and --out, or --class-shares alone, or --adapt-batch-norm and --out",
        todo="dr-pipeline recalibrate --help",
    )


def _recalibrate(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.deployment.recalibrate_bundle import Site, recalibrate_bundle
    from dr_pipeline.errors import DataError
    from dr_pipeline.files import printable
    from dr_pipeline.logs import logger
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.tables.recalibrated import write_recalibrated

    table = args.table or args.out.with_name(f"{args.out.name}.csv")
    if table.exists():  # it may be the label table
        raise DataError("there is something here already", where=printable(table), todo="name a new table by --table")
    site = Site(args.photographs, args.labels, _columns(args), args.site)
    done = recalibrate_bundle(args.bundle, site, args.out, _options(args))
    for warning in done.warnings:
        logger.warning("%s", warning)
    write_recalibrated(table, done.rows, private=True)
    before, after, difference = (done.report[name]["qwk"] for name in ("before", "after", "difference"))
    counts = ", ".join(f"{number} {status}" for status, number in done.report["by_status"].items())
    lines = [
        f"bundle {done.child.bundle_id}: recalibrated on {done.report['photographs']} photographs of "
        f"{done.report['patients']} patients ({done.report['labelled']} labelled: {counts})",
        f"kappa before {format_estimate(before)}, after, held out, {format_estimate(after)}",
        f"difference {format_estimate(difference)}, paired by patient",
        RESEARCH_USE,
    ]
    return Outcome((args.out, table), "\n".join(lines), f"dr-pipeline verify {shell_word(args.out)}")


def _estimate_class_shares(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.deployment.class_shares import class_share_report
    from dr_pipeline.files import write_json

    shares = class_share_report(args.bundle, args.photographs, site=args.site, engine=engine_choice(args))
    write_json(args.class_shares, shares)
    here = ", ".join(f"grade {grade}: {share:.3f}" for grade, share in shares["shares_here"].items())
    verdict = "an estimate without labels"
    if not shares["plausible"]:
        verdict = "not to be used: with these shares the bundle would give other grades than it gives"
    return Outcome((args.class_shares,), f"{here}; {verdict}. {RESEARCH_USE}", next_command="")


def _adapt_batch_norm(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.deployment.adapt_bundle import adapt_bundle
    from dr_pipeline.errors import DataError

    if args.labels or args.class_shares or not args.out:
        raise DataError(
            "--adapt-batch-norm goes with --out, and not with --labels or --class-shares",
            todo="adapt first; then recalibrate the child with labels",
        )
    done = adapt_bundle(args.bundle, args.photographs, args.out, site=args.site)
    report = done.report
    lines = [
        f"bundle {done.child.bundle_id}: batch normalisation adapted to {report['used']} gradable photographs of "
        f"{report['photographs']} files; {report['changed_grades']} of their grades change, "
        f"{report['changed_referable']} referrals",
        f"validated: {report['validated']}",
        RESEARCH_USE,
    ]
    return Outcome((args.out,), "\n".join(lines), f"dr-pipeline verify {shell_word(args.out)}")


def _columns(args: argparse.Namespace) -> dict[str, str]:
    """The table's own name of each column: as named by the user, or else the first usual name that it has."""
    from dr_pipeline.intake.graded_files import find_columns

    asked = {"key": args.key_column, "grade": args.grade_column, "patient_id": args.patient_column}
    return find_columns(args.labels, asked)


def _options(args: argparse.Namespace) -> "Options":
    from dr_pipeline.deployment.recalibrate_bundle import Options
    from dr_pipeline.params.evaluation import Evaluation, OperatingPoint

    return Options(
        OperatingPoint(target_referable_sensitivity=args.sensitivity, human_review_share=args.review),
        Evaluation(bootstrap_replicates=1000, bootstrap_seed=_SEED, confidence=0.95, two_eye_fusion=False),
        args.max_width,
        engine_choice(args),
    )
