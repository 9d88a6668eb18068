"""Builds the store of canvases shard by shard, and reuses the shards that would come out the same.

An added or removed photograph re-renders one shard; a change of the code re-renders all; an interrupted run continues
at the next shard. The result is byte for byte that of a run from scratch, for any number of workers.

A DVC matrix over shards would be incremental as well. But DVC runs stages one after another, each with its own start
and with the whole data set as its dependency: 64 shards would be rendered by 64 programs on one core.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from dr_pipeline.canvases.render import Source
from dr_pipeline.canvases.shards import ShardPlan, plan_shards, reusable_rows, write_shard
from dr_pipeline.canvases.store import INDEX, PIXEL_PATH, shard_name
from dr_pipeline.canvases.workers import render_all
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.files import write_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.logs import progress
from dr_pipeline.tables.canvas_index import CanvasRow, write_canvas_index
from dr_pipeline.tables.manifest import ManifestRow


@dataclass(frozen=True)
class StoreSummary:
    """The result of `build_store`.

    Attributes:
        rows: The index's rows, by image_id.
        rendered: Names of the shards that were written.
        reused: Names of the shards that were kept.
    """

    rows: list[CanvasRow]
    rendered: tuple[str, ...]
    reused: tuple[str, ...]


def build_store(
    photographs: Iterable[ManifestRow],
    root: Path,
    out: Path,
    pixel_path: PixelPath,
    *,
    num_shards: int,
    engines: EngineChoice,
) -> StoreSummary:
    """Preprocesses every photograph of a manifest.

    Args:
        photographs: The manifest's rows; consumed at once, only id, path and hash are kept.
        root: The folder that the manifest's paths are relative to.
        out: The folder to write: shards, pixel_path.json and, last, index.csv. Without it the store is incomplete.
        pixel_path: Applied to each photograph.
        num_shards: Maximum number of tar files; an empty shard has none.
        engines: Where the work is done; the output does not depend on it.

    Raises:
        DataError: There are no photographs or no such folder; or a worker died on a file or hung, and the message
            names it.
    """
    root = root.absolute()  # workers on other machines have other working folders
    sources = [
        Source(row.image_id, root, row.path, row.sha256, shard_name(row.image_id, num_shards)) for row in photographs
    ]
    if not sources:
        raise DataError("no photographs", where=str(root), todo="check `dataset.root` in params.yaml")
    if not root.is_dir():
        raise DataError("there is no such folder", where=str(root), todo="check `dataset.root` in params.yaml")
    shards = plan_shards(sources, pixel_path)
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX).unlink(missing_ok=True)
    _remove_stale(out, shards)
    reused = {shard.name: rows for shard in shards if (rows := reusable_rows(out, shard)) is not None}
    to_render = [shard for shard in shards if shard.name not in reused]
    rows = [row for shard_rows in reused.values() for row in shard_rows]
    rows += _render_shards(out, to_render, pixel_path, engines)
    rows.sort(key=lambda row: row.image_id)
    write_json(out / PIXEL_PATH, pixel_path.to_dict() | {"fingerprint": pixel_path.fingerprint})
    write_canvas_index(out / INDEX, rows)
    return StoreSummary(rows, tuple(shard.name for shard in to_render), tuple(reused))


def _render_shards(
    out: Path, shards: list[ShardPlan], pixel_path: PixelPath, engines: EngineChoice
) -> Iterator[CanvasRow]:
    sources = [source for shard in shards for source in shard.members]
    if not sources:
        return
    images = progress(render_all(sources, sources[0].root, pixel_path, engines), label="preprocess", total=len(sources))
    by_shard = groupby(zip(sources, images, strict=True), key=lambda pair: pair[0].shard)
    for shard, (_, pairs) in zip(shards, by_shard, strict=True):
        yield from write_shard(out, shard, (image for _, image in pairs))


def _remove_stale(out: Path, shards: list[ShardPlan]) -> None:
    """Removes shards that are empty now, and partial files of an interrupted run."""
    names = {shard.name for shard in shards}
    for tar in out.glob("shard-*.tar"):
        if tar.name not in names:
            tar.unlink()
    for record in out.glob("shard-*.json"):
        if record.with_suffix(".tar").name not in names:
            record.unlink()
    for name in ("shard-*", INDEX, PIXEL_PATH):
        for part in out.glob(f".{name}.*.part"):
            part.unlink()
