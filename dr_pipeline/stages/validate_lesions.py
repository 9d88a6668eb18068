"""Compares each fold's network with the masks it did not see; fits the thresholds that are exported.

Figures are those of the cross-validation: each photograph once, by the network of its fold, and with thresholds that
were fitted on the other folds. Average precision is over the pixels of all photographs together, at the canvas's
resolution.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("evaluation",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--name", required=True, help="entry of the section `lesions` in params.yaml")
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `lesion-canvases` wrote")
    parser.add_argument("--models", type=Path, required=True, help="folder that `train-lesions` wrote")
    parser.add_argument("--out", type=Path, required=True, help="thresholds, sizes and areas of lesions.onnx (JSON)")
    parser.add_argument("--report", type=Path, required=True, help="the figures to write (JSON)")


def run(args: argparse.Namespace) -> Outcome:
    """Writes the operating points and the figures.

    Raises:
        GateError: The networks were trained on other canvases.
        DataError: A file is missing or damaged, or no photograph shows one of the kinds.
    """
    from dr_pipeline.canvases.lesion_store import LesionStore
    from dr_pipeline.evaluation.lesion_figures import fit_operating_points, lesion_figures, require_every_kind
    from dr_pipeline.evaluation.lesion_validation import lesion_evidence
    from dr_pipeline.files import write_json
    from dr_pipeline.logs import logger
    from dr_pipeline.machine import describe_machine
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.models.segmenter_files import network_hashes, read_spec
    from dr_pipeline.params.evaluation import Evaluation
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.tracking.run import tracked

    params = load_section(args.params, "evaluation", Evaluation)
    spec, networks = read_spec(args.models), network_hashes(args.models)
    with tracked("validate-lesions"):
        evidence = lesion_evidence(LesionStore(args.canvases), args.models, spec, folds=range(spec.folds))
        points = fit_operating_points(evidence, spec.kinds)
        require_every_kind(points, spec.kinds)
        figures = lesion_figures(evidence, spec.kinds, params) | points.to_dict()
        figures |= {"research_use": RESEARCH_USE, "machine": describe_machine(), "canvas_px": spec.canvas_px}
        aupr = {kind: one["aupr"] for kind, one in figures["kinds"].items()}
        found = {"lesions_found_without_lesions": figures["lesions_found_without_lesions"]}
        write_json(args.out, points.to_dict() | found | {"aupr": aupr, "networks": networks})
        write_json(args.report, {"lesions": {args.name: figures}})
    if not figures["lesions_found_without_lesions"]["n"]:
        logger.warning(
            "no photograph without lesions was measured: how often the second opinion calls a healthy eye diseased is "
            "unknown; set lesions.%s.data.healthy in params.yaml",
            args.name,
        )
    headline = "; ".join(f"{kind} {format_estimate(one['aupr'])}" for kind, one in figures["kinds"].items())
    return Outcome(
        wrote=(args.out, args.report),
        headline=f"{args.name}, area under precision and recall: {headline}. {RESEARCH_USE}",
        next_command=f"dvc repro export-lesions@{args.name}",
    )
