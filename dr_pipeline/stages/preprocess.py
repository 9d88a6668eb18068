"""Decodes every photograph once: disc, canonical canvas, hashes, quality; lossless shards, reused while they hold."""

import argparse
from pathlib import Path

from dr_pipeline.commands.engine_arguments import add_engine_arguments, engine_choice
from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("preprocess",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares paths and the engine."""
    parser.add_argument("--params", type=Path, required=True, metavar="PATH", help="params.yaml")
    parser.add_argument("--root", type=Path, required=True, metavar="PATH", help="folder the manifest's paths start at")
    parser.add_argument("--manifest", type=Path, required=True, metavar="PATH", help="table written by `intake`")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="folder for shards and index.csv")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Writes the store of canvases, reusing shards of an earlier run that would come out the same.

    Raises:
        DataError: The manifest is empty or malformed, or there is no folder of photographs.
    """
    from collections import Counter

    from dr_pipeline.canvases.build import build_store
    from dr_pipeline.canvases.store import INDEX
    from dr_pipeline.files import make_private_folder
    from dr_pipeline.fundus.pixel_path import PixelPath
    from dr_pipeline.params.canvas_params import Preprocess
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import Status
    from dr_pipeline.tables.manifest import iterate_manifest

    params = load_section(args.params, "preprocess", Preprocess)
    make_private_folder(args.out)
    store = build_store(
        iterate_manifest(args.manifest),
        args.root,
        args.out,
        PixelPath(params.canvas_px, params.enhancement, params.aspect, params.already_enhanced),
        num_shards=params.num_shards,
        engines=engine_choice(args),
    )
    count = Counter(row.status for row in store.rows)
    others = ", ".join(f"{count[status]} {status.value}" for status in Status if status is not Status.SCORED)
    num_shards = len(store.rendered) + len(store.reused)
    return Outcome(
        wrote=(args.out / INDEX,),
        headline=f"{count[Status.SCORED]} of {len(store.rows)} photographs gradable ({others}); "
        f"{len(store.rendered)} of {num_shards} shards rendered, {len(store.reused)} reused",
        next_command="dvc repro audit",
    )
