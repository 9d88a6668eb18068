"""Small pictures of canvases for the page."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.opencv import cv2

SIDE_PX = 128
_JPEG_QUALITY = 80


class Thumbnails:
    """Makes each picture when it is asked for, and keeps it as JPEG: memory follows what is drawn, not the data set.

    Args:
        evidence: Tells which photographs have a canvas.
        read_canvas: Gives a canvas by image id: (canvas_px, canvas_px, 3) RGB.
    """

    def __init__(self, evidence: Evidence, read_canvas: Callable[[str], NDArray[np.uint8]]) -> None:
        self._evidence = evidence
        self._read_canvas = read_canvas
        self._made: dict[str, bytes] = {}

    def jpeg(self, image_id: str) -> bytes:
        """The picture as JPEG; no bytes where the photograph gave no canvas.

        Raises:
            DataError: The canvas is damaged, or cannot be encoded.
        """
        if not self._evidence.index[image_id]["shard"]:
            return b""
        if image_id not in self._made:
            self._made[image_id] = encode_jpeg(self._read_canvas(image_id))
        return self._made[image_id]


def encode_jpeg(canvas: NDArray[np.uint8]) -> bytes:
    """A canvas, shrunk to 128 px, as JPEG.

    Raises:
        DataError: It cannot be encoded.
    """
    small = cv2.resize(canvas, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise DataError("a thumbnail cannot be encoded as JPEG", where="audit page")
    return bytes(data)
