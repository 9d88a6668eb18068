"""Validates the bundle on another data set, with its operating point locked, as the verb validate-external does.

The section `external` of params.yaml names the data sets; `{}` leaves the stage out. Photographs without a grade count
as referred; photographs that the bundle was trained or fitted on are left out and counted.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("evaluation", "operating_point", "subgroups")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--name", required=True, help="entry of the section `external` in params.yaml")
    parser.add_argument("--params", type=Path, required=True, help="params.yaml; the set's own is --set")
    parser.add_argument("--set", type=Path, required=True, help="params.yaml of the data set: `dataset` and `audit`")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--bundle", type=Path, required=True, help="the deployable bundle")
    parser.add_argument("--out", type=Path, required=True, help="folder for canvases, graded photographs and audit")
    parser.add_argument("--report", type=Path, required=True, help="the figures to write (JSON)")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Reads, grades, writes.

    Raises:
        BundleError: The bundle fails its checks.
        DataError: The data set differs from its layout, or none of its graded photographs is left.
        GateError: The audit found what the data set's params.yaml stops at.
    """
    from dr_pipeline.bundle.read import read_bundle
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.deployment.external_validation import ExternalSet, validate_external
    from dr_pipeline.files import canonical_json, write_json, write_text
    from dr_pipeline.logs import logger
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
    from dr_pipeline.params.external import load_external
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.subgroups import Subgroups
    from dr_pipeline.reporting import cases_page
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.scoring.explain import attribution_map
    from dr_pipeline.tables.graded import write_graded
    from dr_pipeline.tracking.run import tracked

    external = ExternalSet(
        name=args.name,
        root=args.root,
        own=load_external(args.set),
        params=load_section(args.params, "evaluation", Evaluation),
        targets=load_section(args.params, "operating_point", OperatingPoint),
        subgroups=load_section(args.params, "subgroups", Subgroups),
    )
    bundle = read_bundle(args.bundle, threads=1)
    predictions, audit, cases = (args.out / name for name in ("predictions.csv", "audit.json", "cases.html"))
    with tracked("external"):
        result = validate_external(bundle, external, args.out / "canvases", engine_choice(args))
        for warning in result.report["warnings"] + result.report["limits"]:
            logger.warning("%s", warning)
        write_graded(predictions, result.rows, private=True)
        write_text(audit, canonical_json(result.audit), private=True)
        store, canvas_map = CanvasStore(args.out / "canvases"), attribution_map(args.bundle)
        page = cases_page.render_external(result.rows, store, canvas_map, bundle_id=bundle.bundle_id)
        write_text(cases, page, private=True)
        write_json(args.report, {"external": {args.name: result.report}})
    return Outcome(
        wrote=(predictions, audit, cases, args.report),
        headline=f"{args.name}: QWK {format_estimate(result.report['figures']['qwk'])}, sensitivity "
        f"{format_estimate(result.report['intention_to_screen']['referable_sensitivity'])}. {RESEARCH_USE}",
        next_command="dvc repro report",
    )
