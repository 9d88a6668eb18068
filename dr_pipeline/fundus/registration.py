"""From the canvas back to the photograph: the pixel path's geometry inverted, in pixels of the upright original."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import Window, disc_mask
from dr_pipeline.fundus.opencv import cv2


def points_in_original(points: NDArray[np.float64], window: Window, canvas_px: int) -> NDArray[np.float64]:
    """Points of a canvas, (..., 2) as x and y in continuous px, as points of the upright original.

    Args:
        points: (0, 0) is the outer corner of the canvas's first pixel, as in `Disc`.
        window: What the canvas shows.
        canvas_px: The canvas's side.
    """
    scale = np.array([window.width, window.height]) / canvas_px
    return np.asarray(points * scale + [window.left, window.top])


def map_in_original(canvas_map: NDArray[np.float32], window: Window, width: int, height: int) -> NDArray[np.float32]:
    """A map over the canvas, float32 (s, s), over the upright original, (height, width); 0 outside the disc."""
    side = canvas_map.shape[0]
    across, down = side / window.width, side / window.height
    # pixel centres lie at .5: the centre of an original pixel, in pixels of the map
    to_canvas = np.array(
        [
            [across, 0, (0.5 - window.left) * across - 0.5],
            [0, down, (0.5 - window.top) * down - 0.5],
        ]
    )
    inside = np.where(disc_mask(side) > 0, canvas_map, np.float32(0))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(inside, to_canvas, (width, height), flags=flags), np.float32)
