"""Packs the selected candidate into the deployable bundle, and reads it back as a clinic would."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--selection", type=Path, required=True, help="the selection that `select` wrote")
    parser.add_argument("--exports", type=Path, required=True, help="parent of the folders that `export` wrote")
    parser.add_argument("--validation", type=Path, required=True, help="parent of the folders that `validate` wrote")
    parser.add_argument("--validation-reports", type=Path, required=True, help="folder of the validation figures")
    parser.add_argument("--latency", type=Path, required=True, help="folder of the latencies")
    parser.add_argument("--cascades", type=Path, help="parent of the folders that `cascade` wrote; without: none")
    parser.add_argument("--cascade-figures", type=Path, help="the figures that `cascade` wrote")
    parser.add_argument("--gradability", type=Path, required=True, help="thresholds that `gradability` wrote (JSON)")
    parser.add_argument("--canvases", type=Path, required=True, help="folder of canvases, for how photographs look")
    parser.add_argument("--splits", type=Path, required=True, help="the split (CSV)")
    parser.add_argument("--statuses", type=Path, required=True, help="status of each photograph (CSV)")
    parser.add_argument("--audited", type=Path, required=True, help="the manifest, for the cameras that labels state")
    parser.add_argument(
        "--lesions",
        type=Path,
        default=Path("data/lesion-networks"),
        help="folder of the networks of `export-lesions`, of which the selection may name one (data/lesion-networks)",
    )
    parser.add_argument("--intake", type=Path, help="report of `intake`, for the name of the data set in the card")
    parser.add_argument("--lock", type=Path, help="requirements.lock, for the hashes in the list of packages")
    parser.add_argument("--out", type=Path, required=True, help="the bundle to write")


def run(args: argparse.Namespace) -> Outcome:
    """Packs, reads back, registers.

    Raises:
        GateError: Model, decision and thresholds do not belong together.
        BundleError: The folder holds something else, or the bundle cannot be read back.
        DataError: A file is missing.
    """
    from dr_pipeline.canvases.store import INDEX
    from dr_pipeline.deployment.package_candidate import CandidateParts, package_candidate
    from dr_pipeline.deployment.selection_inputs import CandidatePaths
    from dr_pipeline.deployment.training_reference import DevelopmentData
    from dr_pipeline.files import read_json
    from dr_pipeline.tracking.registry import register
    from dr_pipeline.tracking.run import tracked

    selection = read_json(args.selection)
    chosen = selection["chosen"]
    paths = CandidatePaths(
        args.exports, args.validation, args.validation_reports, args.latency, args.cascades, args.cascade_figures
    ).of(chosen)
    parts = CandidateParts(
        export=paths.export,
        decision=paths.validation / "decision.json",
        validation=paths.figures,
        latency=paths.latency,
        gradability=args.gradability,
        development=DevelopmentData(
            canvas_index=args.canvases / INDEX,
            splits=args.splits,
            statuses=args.statuses,
            validation=paths.validation / "predictions.csv",
            manifest=args.audited,
        ),
        lock=args.lock,
        intake=args.intake,
        lesions=args.lesions / f"{selection['lesions']}.onnx" if selection.get("lesions") else None,
    )
    with tracked("package") as tracker:
        bundle = package_candidate(chosen, parts, args.out, budget_ms=selection["limits"]["latency_budget_ms"])
        tracker.params({"bundle_id": bundle.bundle_id})
    register(args.out)
    model = bundle.metadata["model"]["model"]
    lesions = f"; lesions: {selection['lesions']}" if parts.lesions else ""
    return Outcome(
        wrote=(args.out,),
        headline=f"bundle {bundle.bundle_id} ({chosen}, {model}{lesions}) read back: hashes and self-test agree",
        next_command=f"dr-pipeline score FOLDER --bundle {args.out} --out predictions.csv",
    )
