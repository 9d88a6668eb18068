"""Packs the chosen candidate into the deployable bundle, and reads it back as a clinic would."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--selection", type=Path, required=True, help="the choice that `select` wrote")
    parser.add_argument("--exports", type=Path, required=True, help="parent of the folders that `export` wrote")
    parser.add_argument("--validation", type=Path, required=True, help="parent of the folders that `validate` wrote")
    parser.add_argument("--validation-reports", type=Path, required=True, help="folder of the validation figures")
    parser.add_argument("--latency", type=Path, required=True, help="folder of the latencies")
    parser.add_argument("--gradability", type=Path, required=True, help="thresholds that `gradability` wrote (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="the bundle to write")


def run(args: argparse.Namespace) -> Outcome:
    """Packs, reads back, registers."""
    from dr_pipeline.bundle.decision import Decision
    from dr_pipeline.bundle.golden import make_golden
    from dr_pipeline.bundle.metadata import PACKAGES, build_metadata
    from dr_pipeline.bundle.read import read_bundle, verify_weights
    from dr_pipeline.bundle.session import OnnxModel
    from dr_pipeline.bundle.write import write_bundle
    from dr_pipeline.deployment.consistency import require_one_origin
    from dr_pipeline.files import read_json, sha256_bytes
    from dr_pipeline.fundus.pixel_path import PixelPath
    from dr_pipeline.fundus.quality.thresholds import Gradability
    from dr_pipeline.machine import installed_version
    from dr_pipeline.tracking.registry import register
    from dr_pipeline.tracking.run import tracked

    chosen = read_json(args.selection)["chosen"]
    export = read_json(args.exports / chosen / "export.json")
    decision = Decision.from_dict(read_json(args.validation / chosen / "decision.json"))
    gradability = Gradability.from_dict(read_json(args.gradability))
    pixel_path = PixelPath.from_dict(export["pixel_path"])
    model = (args.exports / chosen / "model.onnx").read_bytes()
    weights = (args.exports / chosen / "weights.safetensors").read_bytes()
    hashes = {"onnx_sha256": sha256_bytes(model), "weights_sha256": sha256_bytes(weights)}
    require_one_origin(export, decision, gradability, hashes=hashes)
    with tracked("package") as run_:
        metadata = build_metadata(
            model_sha256=hashes["onnx_sha256"],
            pixel_path=pixel_path,
            decision=decision,
            gradability=gradability,
            export=export,
            validation=read_json(args.validation_reports / f"{chosen}.json")["validation"][chosen],
            latency=read_json(args.latency / f"{chosen}.json")["latency"][chosen],
            versions={name: installed_version(name) for name in PACKAGES},
        )
        golden = make_golden(OnnxModel(model, threads=1), decision)
        write_bundle(args.out, model=model, weights=weights, metadata=metadata, golden=golden)
        bundle = read_bundle(args.out, threads=1)
        verify_weights(args.out)
        run_.params({"bundle_id": bundle.bundle_id})
    register(args.out)
    return Outcome(
        wrote=(args.out,),
        headline=f"bundle {bundle.bundle_id} ({chosen}, {export['model']}) read back: hashes and self-test agree",
        next_command=f"dr-pipeline score FOLDER --bundle {args.out} --out predictions.csv",
    )
