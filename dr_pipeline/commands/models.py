"""timm's models and their weights: list, show, convert, compare, and extract features.

`list` gives the names that `model:` in params.yaml accepts; `show` measures a grader on one of them. `convert` makes
weights of another framework or format into a file for `weights: file:PATH`; `compare` shows how two sets of weights
differ; `features` writes embeddings of all photographs. Only `features --weights timm` contacts a hub.
"""

import argparse
from pathlib import Path

from dr_pipeline.commands.argument_types import input_side, positive_int
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar=" | ".join(_ACTIONS))
    listing = actions.add_parser("list", help="names, input and licence of the models that match")
    listing.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="part of a name, or with * and ?")
    listing.add_argument("--pretrained", action="store_true", help="only published weights, with their tags")
    show = actions.add_parser("show", help="what one model's weights expect, and its cost")
    show.add_argument("name", metavar="NAME", help="a timm name, such as efficientnet_b3.ra2_in1k")
    show.add_argument("--px", type=input_side, metavar="N", help="side of the input (default: what it expects)")
    show.add_argument("--batch", type=positive_int, default=16, metavar="N", help="photographs in a batch (16)")
    convert = actions.add_parser("convert", help="converts foreign weights to a safetensors file")
    convert.add_argument("source", type=Path, metavar="SOURCE", help="safetensors, torch, .onnx or .npz file")
    convert.add_argument("--model", required=True, metavar="NAME", help="the timm name")
    convert.add_argument("--names", type=Path, metavar="MAP.csv", help="columns from,to[,transpose]: IO, HWIO, HWCM")
    convert.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    compare = actions.add_parser("compare", help="differences of two sets of weights: tensors and outputs")
    for side in ("a", "b"):
        compare.add_argument(
            side, type=Path, metavar=side.upper(), help="weights file, folder of `train`, bundle or .onnx file"
        )
    compare.add_argument("--model", metavar="NAME", help="the timm name of weights files")
    compare.add_argument(
        "--px", type=input_side, metavar="N", help="side of --model's input (default: what it expects)"
    )
    compare.add_argument("--canvases", type=Path, metavar="DIR", help="folder of `preprocess` (default: noise)")
    compare.add_argument("--photographs", type=positive_int, default=8, metavar="N", help="how many (8)")
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
    features.add_argument("--px", type=input_side, metavar="N", help="side of --model's input (what it expects)")
    features.add_argument("--batch", type=positive_int, default=16, metavar="N", help="photographs at once (16)")
    features.add_argument("--out", type=Path, required=True, metavar="FILE", help="parquet file to write")


def run(args: argparse.Namespace) -> Outcome:
    """Runs the action.

    Raises:
        ParamsError: No such model, file or level, or the canvases have another pixel path than those of training.
        DataError: A file cannot be read, or does not contain the model's weights.
    """
    return _ACTIONS[args.action](args)


def _list(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.models.inspect.model_card import describe_models

    lines = describe_models(args.pattern, pretrained=args.pretrained)
    kind = "sets of weights" if args.pretrained else "models"
    return Outcome(
        wrote=(),
        headline="\n".join([*lines, f"{len(lines)} {kind}"]),
        next_command=f"dr-pipeline models show {lines[0].split()[0]}",
    )


def _show(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.models.inspect.model_card import model_card

    card = model_card(args.name, input_px=args.px)
    return Outcome(wrote=(), headline=card.describe(batch_size=args.batch), next_command="")


def _convert(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.files import sha256_file
    from dr_pipeline.models.convert.convert_weights import convert_file
    from dr_pipeline.models.convert.torch_layout import read_name_map
    from dr_pipeline.scoring.input_safety import require_not_read

    require_not_read((args.out,), (args.source, args.names))
    rules = read_name_map(args.names) if args.names else ()
    converted = convert_file(args.source, args.out, model=args.model, rules=rules)
    notes = "".join(f"\n  {note}" for note in converted.notes)
    return Outcome(
        wrote=(args.out,),
        headline=f"{len(converted.tensors)} tensors of {args.model}, without the classifier{notes}",
        next_command=f"set weights: file:{args.out}#{sha256_file(args.out)} in params.yaml",
    )


def _compare(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.models.inspect.compare import compare_models
    from dr_pipeline.models.inspect.model_sources import open_model_source
    from dr_pipeline.scoring.input_safety import require_not_read

    require_not_read((args.out,), (args.a, args.b))
    a, b = (open_model_source(path, model=args.model, input_px=args.px) for path in (args.a, args.b))
    store = CanvasStore(args.canvases) if args.canvases else None
    comparison = compare_models(a, b, store=store, num_images=args.photographs, out=args.out)
    return Outcome(wrote=(args.out,) if args.out else (), headline=comparison.describe(), next_command="")


def _features(args: argparse.Namespace) -> Outcome:
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.models.inspect.features import (
        extract_features,
        pretrained_network,
        resolve_level,
        trained_network,
    )
    from dr_pipeline.scoring.input_safety import require_not_read
    from dr_pipeline.tables.splits import read_splits

    require_not_read((args.out,), (args.splits,))
    store, images = CanvasStore(args.canvases), read_splits(args.splits)
    if args.trained:
        network = trained_network(args.trained, store)
    else:
        network = pretrained_network(args.model, weights=args.weights, input_px=args.px)
    level = resolve_level(network.grader, args.level)
    count, dimensions = extract_features(network, store, images, args.out, level=level, batch_size=args.batch)
    return Outcome(
        wrote=(args.out,),
        headline=f"{count} photographs × {dimensions} numbers of {network.model}, level {level}; {network.weights}",
        next_command="",
    )


_ACTIONS = {"list": _list, "show": _show, "convert": _convert, "compare": _compare, "features": _features}
