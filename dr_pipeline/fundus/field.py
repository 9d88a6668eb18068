"""Locates the retinal disc: the round field of view on a dark background, also where the frame cuts it off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.circle import Circle, fit_circle
from dr_pipeline.fundus.opencv import cv2

CIRCLE = "circle"
BOUNDING_BOX = "bounding_box"
FULL_FRAME = "full_frame"

# The picture is halved until its longer side is at most this: edges are exact to 0.2 % of the radius, in under 2 ms.
_SMALL_PX = 640
# A pixel belongs to the field if its brightest channel exceeds this fraction of the way from the background to the
# field's typical brightness. The fraction is low because the rim is the dimmest tissue. (EyeQ's mask uses mean / 3 − 5
# on the grey picture, which loses dim rims: Fu et al., MICCAI 2019.)
_FIELD_THRESHOLD = 0.16
# The quantiles of brightness taken as the background's and the field's typical level.
_BACKGROUND_AND_FIELD_QUANTILES = (0.005, 0.9)
# With a background brighter than this fraction of the field, tissue or a document fills the picture.
_MAX_BACKGROUND_FRACTION = 0.35
_MIN_FIELD_LEVEL = 8.0
# A field fills at least this fraction of the frame, and of the circle within the frame.
_MIN_MASK_FRACTION = 0.05
_MIN_OVERLAP = 0.75
# Radii of fundus cameras, as fractions of the frame's longer side.
_MIN_RADIUS_FRACTION, _MAX_RADIUS_FRACTION = 0.15, 1.2


@dataclass(frozen=True)
class Disc:
    """The retinal disc in pixels of the upright original.

    Coordinates are continuous: (0, 0) is the outer corner of the first pixel, whose centre is (0.5, 0.5).
    They scale by plain multiplication.

    Attributes:
        x: Centre, px.
        y: Centre, px.
        radius: px.
        fit: "circle"; if no circle fits, "bounding_box" (of the bright region; the radius is half its longer side)
            or "full_frame" (half the frame's longer side).
    """

    x: float
    y: float
    radius: float
    fit: str

    def scaled(self, factor: float) -> "Disc":
        """The same disc in a picture resized by `factor`."""
        return Disc(self.x * factor, self.y * factor, self.radius * factor, self.fit)


def find_disc(pixels: NDArray[np.uint8]) -> Disc:
    """Locates the disc; never fails, see `Disc.fit`.

    Args:
        pixels: (height, width, 3).

    Returns:
        The disc in pixels of `pixels`.
    """
    small, factor = _halved(pixels)
    mask = _field_mask(small)
    height, width = small.shape[:2]
    if mask is None:
        return Disc(width / 2, height / 2, max(width, height) / 2, FULL_FRAME).scaled(factor)
    circle = fit_circle(*_edge_points(mask))
    if circle is not None and _is_field(circle, mask):
        return Disc(circle.x, circle.y, circle.radius, CIRCLE).scaled(factor)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    radius = max(bottom - top, right - left) / 2
    return Disc(float(left + right) / 2, float(top + bottom) / 2, float(radius), BOUNDING_BOX).scaled(factor)


def _halved(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Halves the picture until its longer side is at most `_SMALL_PX`; an exact 2×2 mean is INTER_AREA's fast path."""
    factor = 1.0
    while max(pixels.shape[:2]) > _SMALL_PX and min(pixels.shape[:2]) >= 2:
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        pixels = cv2.resize(pixels[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        factor *= 2
    return pixels, factor


def _field_mask(small: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The largest bright region; None if no dark background surrounds one."""
    brightest: NDArray[np.uint8] = cv2.max(cv2.max(small[..., 0], small[..., 1]), small[..., 2])
    brightest = cv2.medianBlur(brightest, 3)
    counts = np.cumsum(cv2.calcHist([brightest], [0], None, [256], [0, 256]))
    background, typical = np.searchsorted(counts, counts[-1] * np.array(_BACKGROUND_AND_FIELD_QUANTILES))
    if typical < _MIN_FIELD_LEVEL or background > _MAX_BACKGROUND_FRACTION * typical:
        return None
    threshold = background + _FIELD_THRESHOLD * (typical - background)
    mask = (brightest > threshold).astype(np.uint8)
    # Opening separates date stamps and stray pixels from the field.
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < _MIN_MASK_FRACTION * mask.size:
        return None
    field: NDArray[np.bool_] = labels == largest
    return None if field.mean() > 0.995 else field


def _edge_points(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(x, y) of the mask's first and last pixel in each row and column; points on the frame are no edge."""
    xs, ys = [], []
    for field, transposed in ((mask, False), (mask.T, True)):
        lines = np.flatnonzero(field.any(axis=1))
        length = field.shape[1]
        first = field[lines].argmax(axis=1)
        last = length - field[lines, ::-1].argmax(axis=1)  # the outer side of the last pixel
        for edge, inside in ((first, first > 0), (last, last < length)):
            along, across = edge[inside].astype(np.float64), lines[inside] + 0.5
            xs.append(across if transposed else along)
            ys.append(along if transposed else across)
    return np.concatenate(xs), np.concatenate(ys)


def _is_field(circle: Circle, mask: NDArray[np.bool_]) -> bool:
    """Whether circle and mask overlap within the frame, and the radius is that of a fundus camera."""
    height, width = mask.shape
    if not _MIN_RADIUS_FRACTION <= circle.radius / max(height, width) <= _MAX_RADIUS_FRACTION:
        return False
    x, y = np.arange(width) + 0.5 - circle.x, np.arange(height) + 0.5 - circle.y
    inside = x[None, :] ** 2 <= circle.radius**2 - y[:, None] ** 2  # one pass, without a plane of floats
    union = np.count_nonzero(inside | mask)
    return bool(union and np.count_nonzero(inside & mask) >= _MIN_OVERLAP * union)
