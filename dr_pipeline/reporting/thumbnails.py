"""Thumbnails of canvases for the audit's page."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.opencv import cv2

SIDE_PX = 128
_JPEG_QUALITY = 80


class Thumbnails:
    """Encodes each thumbnail on demand and caches it as JPEG: memory depends on the page, not on the data set.

    Args:
        inputs: The tables, which state whether a photograph has a canvas.
        read_canvas: Returns a canvas by image id: (canvas_px, canvas_px, 3) RGB.
    """

    def __init__(self, inputs: AuditInputs, read_canvas: Callable[[str], NDArray[np.uint8]]) -> None:
        self._inputs = inputs
        self._read_canvas = read_canvas
        self._encoded: dict[str, bytes] = {}

    def jpeg(self, image_id: str) -> bytes:
        """The thumbnail as JPEG; no bytes where the photograph has no canvas.

        Raises:
            DataError: The canvas is damaged, or cannot be encoded.
        """
        if not self._inputs.index[image_id].shard:
            return b""
        if image_id not in self._encoded:
            self._encoded[image_id] = encode_jpeg(self._read_canvas(image_id))
        return self._encoded[image_id]


def encode_jpeg(canvas: NDArray[np.uint8]) -> bytes:
    """A canvas, resized to 128 px, as JPEG.

    Raises:
        DataError: It cannot be encoded.
    """
    small = cv2.resize(canvas, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise DataError("a thumbnail cannot be encoded as JPEG", where="audit page")
    return bytes(data)
