"""timm's models and their weights: lists, shows, converts, compares, and writes features.

`list` names what `model:` in params.yaml may hold; `show` counts a grader on one of them. `convert` makes weights of
another framework or format into a file for `weights: file:PATH`; `compare` tells two sets of weights apart; `features`
writes what a network sees in each photograph. None asks a hub, but for `features --weights timm`.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands import models_catalogue, models_weights
from dr_pipeline.stages.outcome import Outcome

_ACTIONS = {
    "list": models_catalogue.list_names,
    "show": models_catalogue.show,
    "convert": models_weights.convert,
    "compare": models_weights.compare,
    "features": models_weights.features,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar=" | ".join(_ACTIONS))
    listing = actions.add_parser("list", help="names, input and licence of the models that match")
    listing.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="part of a name, or with * and ?")
    listing.add_argument("--pretrained", action="store_true", help="only published weights, with their tags")
    show = actions.add_parser("show", help="what one model's weights expect, and its cost")
    show.add_argument("name", metavar="NAME", help="a timm name, such as efficientnet_b3.ra2_in1k")
    show.add_argument("--px", type=_side, metavar="N", help="side of the input (default: what it expects)")
    show.add_argument("--batch", type=_at_least_one, default=16, metavar="N", help="photographs in a batch (16)")
    convert = actions.add_parser("convert", help="makes foreign weights into a safetensors file, noting each change")
    convert.add_argument("source", type=Path, metavar="SOURCE", help="safetensors, torch, .onnx or .npz file")
    convert.add_argument("--model", required=True, metavar="NAME", help="the timm name")
    convert.add_argument("--names", type=Path, metavar="MAP.csv", help="columns from,to[,transpose]: IO, HWIO, HWCM")
    convert.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    compare = actions.add_parser("compare", help="two sets of weights: tensor by tensor, and in what they compute")
    for side in ("a", "b"):
        compare.add_argument(
            side, type=Path, metavar=side.upper(), help="weights file, folder of `train`, bundle or .onnx file"
        )
    compare.add_argument("--model", metavar="NAME", help="the timm name of weights files")
    compare.add_argument("--px", type=_side, metavar="N", help="side of --model's input (default: what it expects)")
    compare.add_argument("--canvases", type=Path, metavar="DIR", help="folder of `preprocess` (default: noise)")
    compare.add_argument("--photographs", type=_at_least_one, default=8, metavar="N", help="how many (8)")
    compare.add_argument("--out", type=Path, metavar="FILE.csv", help="the table of all tensors")
    features = actions.add_parser("features", help="embeddings of all photographs of a split table, as parquet")
    network = features.add_mutually_exclusive_group(required=True)
    network.add_argument("--model", metavar="NAME", help="a timm name")
    network.add_argument("--trained", type=Path, metavar="DIR", help="folder of `train`, such as data/models/lite0/0")
    features.add_argument("--weights", default="timm", metavar="SPEC", help="of --model, as in params.yaml (timm)")
    features.add_argument("--canvases", type=Path, default=Path("data/canvases"), metavar="DIR", help="(data/canvases)")
    features.add_argument("--splits", type=Path, default=Path("data/splits.csv"), metavar="FILE", help="(%(default)s)")
    features.add_argument(
        "--level", default="pooled", metavar="LEVEL", help="pooled, or an index or name of timm's levels (pooled)"
    )
    features.add_argument("--px", type=_side, metavar="N", help="side of --model's input (what it expects)")
    features.add_argument("--batch", type=_at_least_one, default=16, metavar="N", help="photographs at once (16)")
    features.add_argument("--out", type=Path, required=True, metavar="FILE", help="parquet file to write")


def run(args: argparse.Namespace) -> Outcome:
    """Runs the action.

    Raises:
        ParamsError: No such model, file or level.
        DataError: A file cannot be read, or does not hold the model's weights.
    """
    return _ACTIONS[args.action](args)


def _at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text!r}")
    return int(text)


def _side(text: str) -> int:
    """As `input_px` in params.yaml."""
    if not text.isascii() or not text.isdigit() or not 32 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"a whole number from 32 to 2048 is needed, not {text!r}")
    return int(text)
