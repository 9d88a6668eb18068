"""Makes the store of canvases from photographs: shard by shard, keeping those that would come out the same.

So one more photograph makes one shard again, a removed one too, a change of the code all; interrupted work goes on
at the next shard. What is written is byte for byte what a run from nothing writes, for any number of workers.

A DVC matrix over shards would give increments as well, but DVC runs stages one after another, each with a start
of its own and a pass over the whole data set as its dependency: 64 shards would be made by 64 programs on one core.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from dr_pipeline.canvases.read import INDEX, PIXEL_PATH, shard_name
from dr_pipeline.canvases.render import Source
from dr_pipeline.canvases.shards import Row, Shard, kept_rows, plan_shards, write_shard
from dr_pipeline.canvases.workers import make_all
from dr_pipeline.files import write_csv, write_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.logs import progress
from dr_pipeline.schema import CANVAS_INDEX_COLUMNS


@dataclass(frozen=True)
class Written:
    """What `write_store` did.

    Attributes:
        rows: The index's rows, by image_id.
        made: Names of the shards that were made.
        kept: Names of the shards that stayed as they were.
    """

    rows: list[Row]
    made: tuple[str, ...]
    kept: tuple[str, ...]


def write_store(
    manifest: Iterable[Mapping[str, str]],
    root: Path,
    out: Path,
    pixel_path: PixelPath,
    *,
    num_shards: int,
    workers: int,
) -> Written:
    """Preprocesses every row of a manifest.

    Args:
        manifest: Rows with at least image_id, path and sha256.
        root: The folder that the paths are relative to.
        out: The folder to write: shards, pixel_path.json and, last, index.csv: without it there is no store.
        pixel_path: How.
        num_shards: How many tar files at most; a shard that no photograph falls in has none.
        workers: Processes; the output does not depend on it.

    Raises:
        DataError: A worker died; the message names the files it may have died on.
    """
    sources = (
        Source(row["image_id"], root, row["path"], row["sha256"], shard_name(row["image_id"], num_shards))
        for row in manifest
    )
    shards = plan_shards(sources, pixel_path)
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX).unlink(missing_ok=True)
    _remove_stale(out, shards)
    kept = {shard.name: rows for shard in shards if (rows := kept_rows(out, shard)) is not None}
    to_make = [shard for shard in shards if shard.name not in kept]
    rows = [row for inside in kept.values() for row in inside]
    rows += _make_shards(out, to_make, pixel_path, workers)
    rows.sort(key=lambda row: row["image_id"])
    write_json(out / PIXEL_PATH, pixel_path.to_dict() | {"fingerprint": pixel_path.fingerprint})
    write_csv(out / INDEX, CANVAS_INDEX_COLUMNS, rows)
    return Written(rows, tuple(shard.name for shard in to_make), tuple(kept))


def _make_shards(out: Path, shards: list[Shard], pixel_path: PixelPath, workers: int) -> Iterator[Row]:
    sources = [source for shard in shards for source in shard.members]
    processes = max(1, min(workers, len(sources)))
    made = progress(make_all(sources, pixel_path, processes), label="preprocess", total=len(sources))
    by_shard = groupby(zip(sources, made, strict=True), key=lambda pair: pair[0].shard)
    for shard, (_, members) in zip(shards, by_shard, strict=True):
        yield from write_shard(out, shard, (one for _, one in members))


def _remove_stale(out: Path, shards: list[Shard]) -> None:
    """Removes shards that nothing falls in any more, and what an interrupted run left half written."""
    wanted = {shard.name for shard in shards}
    for tar in out.glob("shard-*.tar"):
        if tar.name not in wanted:
            tar.unlink()
    for facts in out.glob("shard-*.json"):
        if facts.with_suffix(".tar").name not in wanted:
            facts.unlink()
    for name in ("shard-*", INDEX, PIXEL_PATH):
        for part in out.glob(f".{name}.*.part"):
            part.unlink()
