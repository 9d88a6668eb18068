"""Decodes every photograph once: disc, canonical canvas, hashes, quality; lossless shards, kept while they hold."""

import argparse
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("preprocess",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares paths and the number of processes."""
    parser.add_argument("--params", type=Path, required=True, metavar="PATH", help="params.yaml")
    parser.add_argument("--root", type=Path, required=True, metavar="PATH", help="folder the manifest's paths start at")
    parser.add_argument("--manifest", type=Path, required=True, metavar="PATH", help="table written by `intake`")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="folder for shards and index.csv")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; as many as cores where not given")


def run(args: argparse.Namespace) -> Outcome:
    """Writes the store of canvases; shards of an earlier run that would come out the same are kept.

    Raises:
        DataError: The manifest is empty or malformed, or there is no folder of photographs.
    """
    from collections import Counter

    from dr_pipeline.canvases.build import write_store
    from dr_pipeline.canvases.read import INDEX
    from dr_pipeline.files import read_csv
    from dr_pipeline.fundus.pixel_path import PixelPath
    from dr_pipeline.machine import usable_cores
    from dr_pipeline.params.canvas_params import Preprocess
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.schema import MANIFEST_COLUMNS, MANIFEST_VERSION, Status

    params = load_section(args.params, "preprocess", Preprocess)
    # The other columns are let go here: of 100,000 photographs they would fill over 100 MB for the whole run.
    manifest = [
        {column: row[column] for column in ("image_id", "path", "sha256")}
        for row in read_csv(args.manifest, MANIFEST_COLUMNS, version=MANIFEST_VERSION)
    ]
    if not manifest:
        raise DataError("no photographs", where=str(args.manifest), todo="check `dataset.root` in params.yaml")
    if not args.root.is_dir():
        raise DataError("there is no such folder", where=str(args.root), todo="check `dataset.root` in params.yaml")
    workers = usable_cores() if args.workers is None else max(1, args.workers)
    path = PixelPath(params.canvas_px, params.enhancement)
    written = write_store(manifest, args.root, args.out, path, num_shards=params.num_shards, workers=workers)
    count = Counter(row["status"] for row in written.rows)
    shares = ", ".join(f"{count[status]} {status.value}" for status in Status if status is not Status.SCORED)
    num_made, num_kept = len(written.made), len(written.kept)
    return Outcome(
        wrote=(args.out / INDEX,),
        headline=f"{count[Status.SCORED]} of {len(written.rows)} photographs gradable ({shares}); "
        f"{num_made} of {num_made + num_kept} shards made, {num_kept} kept",
        next_command="dvc repro audit",
    )
