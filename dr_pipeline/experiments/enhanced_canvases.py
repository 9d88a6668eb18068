"""The canvases of an arm: the store's own, or enhanced as they are read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.fundus.enhancement import NO_ENHANCEMENT, enhance
from dr_pipeline.splitting.groups import Photograph
from dr_pipeline.splitting.predefined import listed


class EnhancedCanvases(CanvasStore):
    """Plain canvases, enhanced as they are read: bit for bit what `preprocess` renders with that enhancement.

    Attributes:
        pixel_path: The pixel path that would have rendered them.
    """

    def __init__(self, root: Path, enhancement: str) -> None:
        super().__init__(root)
        self.pixel_path = replace(self.pixel_path, enhancement=enhancement)

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """Reads one canvas and enhances it: (canvas_px, canvas_px, 3) RGB.

        Raises:
            DataError: See `CanvasStore.read`.
        """
        return enhance(super().read(image_id), self.pixel_path.enhancement)


def canvases_of(store: CanvasStore, enhancement: str) -> CanvasStore:
    """The canvases of an arm.

    Raises:
        ParamsError: The store's canvases are already enhanced, in another way.
    """
    if enhancement == store.pixel_path.enhancement:
        return store
    if store.pixel_path.enhancement != NO_ENHANCEMENT:
        raise ParamsError(
            f"the canvases have the enhancement {store.pixel_path.enhancement!r}: {enhancement!r} cannot be compared",
            where=str(store.root),
            todo="set preprocess.enhancement to none and run `dvc repro preprocess`",
        )
    return EnhancedCanvases(store.root, enhancement)


def require_canvases(store: CanvasStore, photographs: list[Photograph]) -> None:
    """Refuses photographs that have a grade and no canvas.

    Raises:
        DataError: Names them.
    """
    without = [one.image_id for one in photographs if not (row := store.rows.get(one.image_id)) or not row.shard]
    if without:
        raise DataError(
            f"{len(without)} photograph(s) with a grade have no canvas: {listed(without)}",
            where=str(store.index_path),
            todo="exclude them (audit.unreadable: exclude), or run `dvc repro audit`, which writes both again",
        )
