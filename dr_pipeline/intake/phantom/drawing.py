"""cv2's sub-pixel drawing: retinal outlines in DD to the fixed-point pixels cv2 wants."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.cameras import Points

SHIFT = 4  # cv2 draws with 1/16 px
FixedPoints = NDArray[np.int32]
Bytes = NDArray[np.uint8]


def fixed_point(points_px: Points) -> FixedPoints:
    """Pixels (..., 2) as integers with `SHIFT` fractional bits."""
    return np.rint(points_px * (1 << SHIFT)).astype(np.int32)


def draw_lines(plane: Bytes, lines: list[FixedPoints], value: float, thickness_px: int) -> None:
    """Draws open, antialiased lines, in place."""
    cv2.polylines(plane, lines, isClosed=False, color=value, thickness=thickness_px, lineType=cv2.LINE_AA, shift=SHIFT)


def fill(plane: Bytes, outline: FixedPoints, value: float) -> None:
    """Fills one antialiased polygon, in place."""
    cv2.fillPoly(plane, [outline], value, cv2.LINE_AA, SHIFT)


def fill_circle(plane: Bytes, centre_px: Points, radius_px: float, value: float) -> None:
    """Fills one antialiased circle, in place."""
    x, y = (int(c) for c in fixed_point(centre_px))
    cv2.circle(plane, (x, y), round(radius_px * (1 << SHIFT)), value, -1, cv2.LINE_AA, SHIFT)
