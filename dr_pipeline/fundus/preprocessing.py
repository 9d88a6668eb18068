"""Makes the store of canvases from photographs: parallel over files, streamed, in a fixed order."""

import multiprocessing
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError, DrPipelineError, ImageError
from dr_pipeline.files import add_to_tar, atomic_write, sha256_bytes, write_csv, write_json
from dr_pipeline.fundus.canvases import INDEX, PIXEL_PATH, member_name, shard_name
from dr_pipeline.fundus.cv import cv2
from dr_pipeline.fundus.pixel_path import Photograph, PixelPath
from dr_pipeline.fundus.source import read_file
from dr_pipeline.progress import progress
from dr_pipeline.schema import CANVAS_INDEX_COLUMNS, CANVAS_INDEX_VERSION, Status

# Lossless and quick: of all filters and strategies "up" with run lengths is the fastest that is also among the
# smallest (512 px canvas: 5.9 ms, 256 kB; OpenCV's default level 1: 11.5 ms, 290 kB).
_PNG = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
)
# Files under way per worker: enough to keep it busy, few enough to keep memory flat.
_AHEAD_PER_WORKER = 4


@dataclass(frozen=True)
class Source:
    """One photograph to preprocess: its id, file, and the hash that intake took."""

    image_id: str
    path: Path
    sha256: str
    shard: str


@dataclass(frozen=True)
class Made:
    """What became of one photograph: its index row, and its canvas as PNG (empty where there is none)."""

    row: dict[str, str]
    png: bytes


def write_store(
    manifest: Iterable[Mapping[str, str]],
    root: Path,
    out: Path,
    pixel_path: PixelPath,
    *,
    num_shards: int,
    workers: int,
) -> list[dict[str, str]]:
    """Preprocesses every row of a manifest.

    Args:
        manifest: Rows with at least image_id, path and sha256.
        root: The folder that the paths are relative to.
        out: The folder to write: shards, pixel_path.json and, last, index.csv: without it there is no store.
        pixel_path: How.
        num_shards: How many tar files.
        workers: Processes; the output does not depend on it.

    Returns:
        The index's rows, by image_id.

    Raises:
        DataError: A worker died; the message names the files it may have died on.
    """
    sources = [
        Source(row["image_id"], root / row["path"], row["sha256"], shard_name(row["image_id"], num_shards))
        for row in manifest
    ]
    sources.sort(key=lambda source: (source.shard, source.image_id))
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX).unlink(missing_ok=True)
    for stale in out.glob("shard-*.tar"):
        stale.unlink()
    rows: list[dict[str, str]] = []
    made = progress(_make_all(sources, pixel_path, workers), label="preprocess", total=len(sources))
    for shard, members in groupby(zip(sources, made, strict=True), key=lambda pair: pair[0].shard):
        with atomic_write(out / shard) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
            for source, one in members:
                if one.png:
                    add_to_tar(tar, member_name(source.image_id), one.png)
                rows.append(one.row)
    rows.sort(key=lambda row: row["image_id"])
    write_json(out / PIXEL_PATH, pixel_path.to_dict() | {"fingerprint": pixel_path.fingerprint})
    write_csv(out / INDEX, CANVAS_INDEX_COLUMNS, rows)
    return rows


def make(source: Source, pixel_path: PixelPath) -> Made:
    """Takes one photograph through the pixel path; a file that gives no picture gives a row with the reason."""
    try:
        photograph = pixel_path.process(_read(source))
    except ImageError as error:
        return Made(_row(source, Status.FAILED, reason=error.what), b"")
    except DrPipelineError:
        raise
    except Exception as error:
        raise DataError(f"preprocess failed: {error!r}", where=str(source.path)) from error
    return Made(_photograph_row(source, photograph), encode_png(photograph.canvas))


def _read(source: Source) -> bytes:
    data = read_file(source.path)
    if sha256_bytes(data) != source.sha256:
        raise ImageError("changed since intake: its SHA-256 differs from the manifest's", where=str(source.path))
    return data


def encode_png(canvas: NDArray[np.uint8]) -> bytes:
    """Encodes a canvas without loss; equal canvases give equal bytes."""
    _, png = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR), _PNG)
    return bytes(png)


def _photograph_row(source: Source, photograph: Photograph) -> dict[str, str]:
    quality, disc = photograph.quality, photograph.disc
    reasons = ";".join(quality.reasons)
    return _row(
        source,
        quality.status,
        shard=source.shard,
        reason="" if quality.status is Status.SCORED else reasons,
        pixel_sha256=photograph.pixel_sha256,
        width=str(photograph.width),
        height=str(photograph.height),
        disc_x=f"{disc.x:.2f}",
        disc_y=f"{disc.y:.2f}",
        disc_radius=f"{disc.radius:.2f}",
        disc_fit=disc.fit,
        quality=f"{quality.score:.4f}",
        quality_reasons=reasons,
    )


def _row(source: Source, status: Status, **cells: str) -> dict[str, str]:
    row = dict.fromkeys(CANVAS_INDEX_COLUMNS, "")
    row.update(schema_version=str(CANVAS_INDEX_VERSION), image_id=source.image_id, status=status.value, **cells)
    return row


def _make_all(sources: list[Source], pixel_path: PixelPath, workers: int) -> Iterator[Made]:
    """Yields each source's result in order, with a bounded number under way."""
    work = partial(make, pixel_path=pixel_path)
    if workers == 1 or len(sources) < 2:
        yield from map(work, sources)
        return
    # Not fork: a forked process inherits locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        under_way: deque[tuple[Source, Future[Made]]] = deque()
        try:
            for source in sources:
                under_way.append((source, pool.submit(work, source)))
                if len(under_way) >= _AHEAD_PER_WORKER * workers:
                    yield under_way[0][1].result()
                    under_way.popleft()
            while under_way:
                yield under_way[0][1].result()
                under_way.popleft()
        except BrokenProcessPool:
            names = ", ".join(str(source.path) for source, _ in list(under_way)[: _AHEAD_PER_WORKER * workers])
            raise DataError(
                "a worker process died (out of memory, or a decoder crashed)",
                where=f"one of: {names}",
                todo="remove the file from the manifest's source, or run with --workers 1 to see which it is",
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
