"""Exports the network of all photographs as lesions.onnx, with its thresholds, and checks it on real tiles.

With --bundle a copy of that bundle is written that has the network, for `score --lesions`. Research use only.
"""

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
    parser.add_argument("--bundle", type=Path, help="a bundle to copy with the network in it")
    parser.add_argument("--bundle-out", type=Path, help="the copy, which is not signed")


def run(args: argparse.Namespace) -> Outcome:
    """Exports and compares.

    Raises:
        GateError: The exported network gives other probabilities.
        DataError: A file is missing or damaged.
        BundleError: The bundle is damaged, or there is something else at --bundle-out.
        ParamsError: One of --bundle and --bundle-out is missing.
    """
    from dr_pipeline.canvases.lesion_store import LesionStore
    from dr_pipeline.deployment.export_lesions import add_lesions, export_lesions, read_points
    from dr_pipeline.errors import ParamsError
    from dr_pipeline.models.segmenter_files import read_spec
    from dr_pipeline.tracking.run import tracked

    if (args.bundle is None) != (args.bundle_out is None):
        raise ParamsError("--bundle and --bundle-out belong together", todo="dr-pipeline export-lesions --help")
    with tracked("export-lesions"):
        store = LesionStore(args.canvases)
        points = read_points(args.points)
        parity = export_lesions(args.models, read_spec(args.models), points, store, args.out)
    if args.bundle is not None:
        add_lesions(args.bundle, args.out, args.bundle_out)
    bundle = args.bundle_out or "BUNDLE"
    return Outcome(
        wrote=(args.out, args.bundle_out) if args.bundle_out else (args.out,),
        headline=f"probabilities within {parity.max_probability_difference:.1g} on {parity.tiles} tiles",
        next_command=f"dr-pipeline score FOLDER --lesions --bundle {bundle} --out predictions.csv",
    )
