"""Validates a bundle on another data set, with its operating point locked.

Reads the data set as the pipeline does: intake by its params.yaml or recipe, preprocessing by the bundle's own pixel
path, audit; grades it, and writes under OUT/NAME the figures (external.json), the graded photographs (predictions.csv)
and the audit. Photographs without a grade count as referred; those that the bundle was trained or fitted on are left
out and counted; a local recalibration is shown apart. OUT/index.html has every data set of OUT in one table, beside
published figures. Research use only. Not a medical device.
"""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_pipeline.commands.bundle_arguments import add_signature_argument
from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome, shell_word

if TYPE_CHECKING:
    from dr_pipeline.deployment.external_validation import ExternalSet

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle: a folder, or a .drbundle file")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--params", type=Path, metavar="FILE", help="params.yaml of the data set")
    source.add_argument("--recipe", metavar="NAME", help="or a recipe, see `dr-pipeline recipe --help`; with --root")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="folder of the photographs (default: dataset.root of --params)"
    )
    parser.add_argument(
        "--name", type=_name, metavar="NAME", help="of the data set, in OUT and in the table (default: its adapter)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    add_signature_argument(parser)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Reads, grades, writes.

    Raises:
        BundleError: The bundle fails its checks.
        DataError: The data set differs from its layout, or none of its graded photographs is left.
        GateError: The audit found what the data set's params.yaml stops at.
        ParamsError: A section of it is wrong, or the recipe is unknown.
    """
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.bundle.signature import trusted_identity
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.deployment.external_validation import validate_external
    from dr_pipeline.files import canonical_json, write_text
    from dr_pipeline.logs import logger
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.reporting import cases_page
    from dr_pipeline.reporting.external_page import render_external
    from dr_pipeline.scoring.explain import attribution_map
    from dr_pipeline.tables.graded import write_graded

    trusted_identity(args.bundle, args.require_signature)
    bundle = read_bundle(args.bundle, threads=1)
    external = _external_set(args)
    folder = args.out / external.name
    result = validate_external(bundle, external, folder / "canvases", engine_choice(args))
    report = result.report
    for warning in report["warnings"] + report["limits"]:
        logger.warning("%s", warning)
    written = {name: folder / name for name in ("external.json", "predictions.csv", "audit.json", "cases.html")}
    write_text(written["external.json"], canonical_json(report), private=True)
    write_graded(written["predictions.csv"], result.rows, private=True)
    write_text(written["audit.json"], canonical_json(result.audit), private=True)
    store, canvas_map = CanvasStore(folder / "canvases"), attribution_map(args.bundle)
    cases = cases_page.render_external(result.rows, store, canvas_map, bundle_id=bundle.bundle_id)
    write_text(written["cases.html"], cases, private=True)
    page = args.out / "index.html"
    write_text(page, render_external(_reports(args.out, bundle.bundle_id)), private=True)
    screening, recalibrated = report["intention_to_screen"], report["recalibration"]
    lines = [
        f"{external.name}: {report['n']} photographs, {report['answered']} graded by the network; "
        f"QWK {format_estimate(report['figures']['qwk'])}",
        f"ungradable referred: sensitivity {format_estimate(screening['referable_sensitivity'])}, "
        f"specificity {format_estimate(screening['referable_specificity'])}",
        f"local recalibration: none: {recalibrated['note']}"
        if "note" in recalibrated
        else f"local recalibration, held out: QWK {format_estimate(recalibrated['after']['qwk'])}, "
        f"difference {format_estimate(recalibrated['difference']['qwk'])}",
        RESEARCH_USE,
    ]
    return Outcome((*written.values(), page), "\n".join(lines), f"open {shell_word(page)}")


def _external_set(args: argparse.Namespace) -> "ExternalSet":
    from dr_pipeline.deployment.external_validation import ExternalSet
    from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
    from dr_pipeline.params.external import load_external
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.subgroups import Subgroups

    path = args.params or _written_recipe(args)
    own = load_external(path)
    return ExternalSet(
        name=args.name or own.dataset.adapter,
        root=args.root or Path(own.dataset.root),
        own=own,
        params=load_section(path, "evaluation", Evaluation),
        targets=load_section(path, "operating_point", OperatingPoint),
        subgroups=load_section(path, "subgroups", Subgroups),
    )


def _written_recipe(args: argparse.Namespace) -> Path:
    """The recipe as a file beside the results, so that they state how the data set was read."""
    from dr_pipeline.errors import DataError, ParamsError
    from dr_pipeline.files import write_text
    from dr_pipeline.recipes import NAMES
    from dr_pipeline.recipes.compose import recipe_text

    if args.recipe not in NAMES:
        raise ParamsError(f"no recipe {args.recipe!r}", where="--recipe", todo=f"use {', '.join(NAMES)}")
    if not args.root:
        raise DataError("a recipe needs the folder of the data set", where="--recipe", todo="give --root")
    path: Path = args.out / (args.name or args.recipe) / "params.yaml"
    args.name = args.name or args.recipe
    write_text(path, recipe_text(args.recipe), private=True)
    return path


def _reports(out: Path, bundle_id: str) -> list[dict[str, Any]]:
    """The reports below OUT that are of this bundle; others are named and left out."""
    from dr_pipeline.files import printable, read_json
    from dr_pipeline.logs import logger

    reports = []
    for path in sorted(out.glob("*/external.json")):
        report = read_json(path)
        if report["bundle_id"] == bundle_id:
            reports.append(report)
        else:
            logger.warning("%s is of bundle %s: it is not in the table", printable(path), report["bundle_id"])
    return reports


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"up to 40 letters, digits, _ and - are needed, not {text!r}")
    return text
