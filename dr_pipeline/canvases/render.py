"""Makes one photograph's part of the store: its row of the index and its canvas as a lossless PNG."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError, DrPipelineError, ImageError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import Photograph, PixelPath
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


@dataclass(frozen=True, slots=True)
class Source:
    """One photograph to preprocess.

    Attributes:
        image_id: Its id.
        root: The folder that `name` is relative to.
        name: Its file, as the manifest says it.
        sha256: Of the file's bytes, taken by intake; empty where intake could not read it.
        shard: The tar file that its canvas goes to.
    """

    image_id: str
    root: Path
    name: str
    sha256: str
    shard: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.root / self.name


@dataclass(frozen=True)
class Made:
    """What became of one photograph.

    Attributes:
        row: Its row of the index.
        png: Its canvas; empty where there is none.
        unread: Why the bytes that intake saw could not be read; empty where they could.
    """

    row: dict[str, str]
    png: bytes
    unread: str = ""


def make(source: Source, pixel_path: PixelPath) -> Made:
    """Takes one photograph through the pixel path; a file that gives no picture gives a row with the reason.

    Raises:
        DataError: Something else went wrong; the message names the file.
    """
    try:
        data = read_source(source)
    except ImageError as error:
        return Made(_row(source, Status.FAILED, reason=error.what), b"", unread=error.what)
    try:
        photograph = pixel_path.process(data)
    except ImageError as error:
        return Made(_row(source, Status.FAILED, reason=error.what), b"")
    except DrPipelineError:
        raise
    except Exception as error:
        raise DataError(f"preprocess failed: {error!r}", where=str(source.path)) from error
    return Made(_photograph_row(source, photograph), encode_png(photograph.canvas))


def read_source(source: Source) -> bytes:
    """Reads the bytes that intake saw.

    Raises:
        ImageError: The file cannot be read, or holds other bytes than at intake.
    """
    data = read_image_file(source.path)
    if not source.sha256:
        raise ImageError("could not be read at intake", where=str(source.path), todo="run `dvc repro`")
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
        format=photograph.format,
        pixel_sha256=photograph.pixel_sha256,
        perceptual_hash=photograph.perceptual_hash,
        width=str(photograph.width),
        height=str(photograph.height),
        disc_x=f"{disc.x:.2f}",
        disc_y=f"{disc.y:.2f}",
        disc_radius=f"{disc.radius:.2f}",
        disc_fit=disc.fit,
        annotation=str(int(photograph.annotation)),
        quality=f"{quality.score:.4f}",
        quality_spread=f"{quality.spread:.4f}",
        quality_reasons=reasons,
    )


def _row(source: Source, status: Status, **cells: str) -> dict[str, str]:
    row = dict.fromkeys(CANVAS_INDEX_COLUMNS, "")
    row.update(schema_version=str(CANVAS_INDEX_VERSION), image_id=source.image_id, status=status.value, **cells)
    return row
