"""Exports the network of all photographs as lesions.onnx, with its thresholds, and checks it on real tiles."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--models", type=Path, required=True, help="folder that `train-lesions` wrote")
    parser.add_argument("--points", type=Path, required=True, help="thresholds that `validate-lesions` fitted (JSON)")
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `lesion-canvases` wrote")
    parser.add_argument("--out", type=Path, required=True, help="lesions.onnx to write")


def run(args: argparse.Namespace) -> Outcome:
    """Exports and compares.

    Raises:
        GateError: The exported network gives other probabilities.
        DataError: A file is missing or damaged.
    """
    from dr_pipeline.canvases.lesion_store import LesionStore
    from dr_pipeline.deployment.export_lesions import export_lesions
    from dr_pipeline.files import read_json
    from dr_pipeline.models.segmenter_files import read_spec
    from dr_pipeline.tracking.run import tracked

    with tracked("export-lesions"):
        store = LesionStore(args.canvases)
        parity = export_lesions(args.models, read_spec(args.models), read_json(args.points), store, args.out)
    return Outcome(
        wrote=(args.out,),
        headline=f"probabilities within {parity.max_probability_difference:.1g} on {parity.tiles} tiles",
        next_command="dvc repro package",
    )
