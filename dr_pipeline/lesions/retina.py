"""Which part of a canvas shows retina: cut-offs and marks in the field's edge are black, and no hemorrhages."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2

_BLACK = 8  # in every channel: JPEG's noise about a cut-off; IDRiD's are as large at 4
_SOFT_PX = 2  # resampling and JPEG leave the rim of black between black and tissue
_CORNER, _FOUND = (0, 0), 2


def retina_mask(canvas: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(S, S): the retinal disc of a canvas, uint8 RGB (S, S, 3), without black that reaches its edge.

    A notch is as dark as a large hemorrhage, which a network took it for; black that tissue surrounds may be one.
    """
    disc = disc_mask(len(canvas))
    tissue = cv2.compare(cv2.max(cv2.max(canvas[..., 0], canvas[..., 1]), canvas[..., 2]), _BLACK, cv2.CMP_GT)
    surround = (cv2.bitwise_and(tissue, disc) == 0).astype(np.uint8)
    cv2.floodFill(surround, None, _CORNER, _FOUND)  # the canvas's corners lie outside the disc
    black = ((surround == _FOUND) & (disc > 0)).astype(np.uint8)
    side = 2 * _SOFT_PX + 1
    return np.asarray((disc > 0) & (cv2.dilate(black, np.ones((side, side), np.uint8)) == 0))
