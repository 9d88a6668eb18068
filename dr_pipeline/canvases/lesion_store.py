"""The store of photographs with masks of lesions: for each a lossless canvas, and a PNG of 16 bits, one per kind."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.canvases.store import INDEX, PIXEL_PATH, read_pixel_path
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.decode import decode_mask, decode_png
from dr_pipeline.lesions.kinds import Masks
from dr_pipeline.tables.lesion_index import LesionRow, read_lesion_index


@dataclass(frozen=True, eq=False)
class LesionCanvas:
    """One photograph with its masks.

    Attributes:
        pixels: (canvas_px, canvas_px, 3) RGB.
        masks: (canvas_px, canvas_px): bit k is kind k.
        labelled: Names of the kinds that were annotated. Of another kind nothing is known, whatever its bit.
        um_per_px: Micrometres of the retina per canvas pixel.
    """

    pixels: NDArray[np.uint8]
    masks: Masks
    labelled: frozenset[str]
    um_per_px: float


def canvas_name(image_id: str) -> str:
    """The file of a canvas."""
    return f"{image_id}.png"


def masks_name(image_id: str) -> str:
    """The file of its masks."""
    return f"{image_id}_masks.png"


class LesionStore:
    """The folder that `lesion-canvases` writes, for reading. It can be pickled and shared by processes.

    Attributes:
        root: The folder.
        pixel_path: The pixel path of the canvases.
        rows: The index by image_id.

    Raises:
        DataError: The folder is incomplete.
        BundleError: It was written by another version of the pixel path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pixel_path = read_pixel_path(root / PIXEL_PATH)
        self.rows: dict[str, LesionRow] = {row.image_id: row for row in read_lesion_index(self.index_path)}

    @property
    def index_path(self) -> Path:
        """The file whose hash represents the store."""
        return self.root / INDEX

    def read(self, image_id: str) -> LesionCanvas:
        """Reads one photograph with its masks.

        Raises:
            DataError: The photograph is unknown, or one of its files is missing or of other sides.
        """
        row = self.rows.get(image_id)
        if row is None:
            raise DataError(f"no canvas of {image_id!r}", where=str(self.index_path), todo="run `dvc repro`")
        pixels = decode_png(self._bytes(canvas_name(image_id)))
        masks = decode_mask(self._bytes(masks_name(image_id)))
        side = self.pixel_path.canvas_px
        if pixels.shape != (side, side, 3) or masks.shape != (side, side) or masks.dtype != np.uint16:
            raise DataError(
                f"canvas or masks of {image_id!r} are not of {side} px", where=str(self.root), todo="run `dvc repro`"
            )
        return LesionCanvas(pixels, np.asarray(masks, np.uint16), frozenset(row.labelled_kinds), row.um_per_px)

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise DataError(
                f"the store lacks a file: {error.strerror}", where=str(self.root / name), todo="run `dvc repro`"
            ) from None
