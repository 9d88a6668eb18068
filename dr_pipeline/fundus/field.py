"""Locates the retinal disc: the field of view on a dark ground, also where the frame cuts it off or squashed it.

Nearly every photograph shows one field on a dark ground; it is found in about a millisecond. Whatever differs (another
ground, no circle, something bright beside the field) is searched by `dr_pipeline.fundus.field_search`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.ellipse import Ellipse
from dr_pipeline.fundus.field_search import search_fields
from dr_pipeline.fundus.field_shape import filled, fit_field, regions
from dr_pipeline.fundus.opencv import cv2

CIRCLE = "circle"
BOUNDING_BOX = "bounding_box"
FULL_FRAME = "full_frame"

SEVERAL_FIELDS, SMALL_FIELD, CUT_FIELD = "several_fields", "small_field", "cut_field"

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
# A field fills at least this fraction of the frame.
_MIN_MASK_FRACTION = 0.05
_FULL_MASK_FRACTION = 0.995
# Of the field's height and width. A field that touches both sides of a 3 : 2 frame shows 0.67 of its height, one of a
# 16 : 9 frame 0.56. Two cut fields side by side can look like one of which half is cut, or like an ellipse.
_MOSTLY_VISIBLE, _MIN_VISIBLE = 0.7, 0.55
# Radii of fundus cameras, as fractions of the frame's longer side.
_MIN_RADIUS_FRACTION, _MAX_RADIUS_FRACTION = 0.15, 1.2
# Outside this many radii a field's halo has faded. What is there and this much brighter than the darkest of it may be
# another field, if it is this many radii wide and high.
_BEYOND_HALO, _ABOVE_GROUND, _MIN_SIDE_RADII = 1.08, 10, 0.2
_GROUND_QUANTILE = 0.05
# Tissue without a rim whose box is longer than this is that of more than one field: a frame of 16 : 9 is not.
_MAX_BOX_ASPECT = 1.8
# A small field is located again in a part of the picture that is this many radii around its centre.
_SURROUNDINGS_RADII = 1.6
_OPENING = np.ones((5, 5), np.uint8)


@dataclass(frozen=True)
class Disc:
    """The retinal disc in pixels of the upright original.

    Coordinates are continuous: (0, 0) is the outer corner of the first pixel, whose centre is (0.5, 0.5).
    They scale by plain multiplication.

    Attributes:
        x: Centre, px.
        y: Centre, px.
        radius: px; of an ellipse the longer half axis.
        fit: "circle" (or the ellipse of a squashed or stretched picture); if none fits, "bounding_box" (of the bright
            region; the radius is half its longer side) or "full_frame" (half the frame's longer side).
        aspect: Width over height of the ellipse or box; 1 if the field is round.
        fault: Why the picture cannot be graded as one eye: SEVERAL_FIELDS, SMALL_FIELD, CUT_FIELD (so little of
            the disc is visible that it may be two) or "".
    """

    x: float
    y: float
    radius: float
    fit: str
    aspect: float = 1.0
    fault: str = ""

    @property
    def half_width(self) -> float:
        """From the centre to the left and right end, px."""
        return self.radius * min(1.0, self.aspect)

    @property
    def half_height(self) -> float:
        """From the centre to the upper and lower end, px."""
        return self.radius * min(1.0, 1 / self.aspect)

    def scaled(self, factor: float) -> "Disc":
        """The same disc in a picture resized by `factor`."""
        return replace(self, x=self.x * factor, y=self.y * factor, radius=self.radius * factor)


def find_disc(pixels: NDArray[np.uint8]) -> Disc:
    """Locates the disc; never fails, see `Disc.fit`.

    Args:
        pixels: (height, width, 3).

    Returns:
        The disc in pixels of `pixels`.
    """
    disc = _find(pixels)
    is_small = disc.fit == CIRCLE and not disc.fault and disc.radius < _MIN_RADIUS_FRACTION * max(pixels.shape[:2])
    return _find_again(pixels, disc) if is_small and max(pixels.shape[:2]) > _SMALL_PX else disc


def _find(pixels: NDArray[np.uint8]) -> Disc:
    small, factor = _halved(pixels)
    level = _brightest_channel(small)
    region = _on_dark_ground(level)
    field = fit_field(region) if region is not None else None
    if field is not None and not _MIN_RADIUS_FRACTION <= field.radius / max(small.shape[:2]) <= _MAX_RADIUS_FRACTION:
        field = None
    visible = _visible_share(field, small.shape) if field is not None else 0.0
    if field is not None and visible >= _MOSTLY_VISIBLE and not _something_beside(level, field):
        return _disc(field, CIRCLE).scaled(factor)
    found = search_fields(small)
    several = SEVERAL_FIELDS if len(found) > 1 else ""
    if field is not None:
        may_be_two = visible < (_MIN_VISIBLE if field.aspect == 1 else _MOSTLY_VISIBLE)
        if found and not found[0].has_rim and _is_long(found[0].shape):  # the field is a part of a longer region
            may_be_two = True
        return _disc(field, CIRCLE, several or (CUT_FIELD if may_be_two else "")).scaled(factor)
    if found and found[0].has_rim:
        return _disc(found[0].shape, CIRCLE, several).scaled(factor)
    if found and found[0].area < _FULL_MASK_FRACTION * small.shape[0] * small.shape[1] / 4:
        return _disc(found[0].shape, BOUNDING_BOX, several or _fault_of_box(found[0].shape, small.shape)).scaled(factor)
    if found:
        whole = _without_circle(None, small.shape)
        return replace(whole, fault=several or _fault_of_box(found[0].shape, small.shape)).scaled(factor)
    return _without_circle(region, small.shape).scaled(factor)


def _visible_share(field: Ellipse, shape: tuple[int, ...]) -> float:
    """How much of the field's height or width the frame holds, whichever is less."""
    height, width = shape[:2]
    wide = min(width, field.x + field.half_width) - max(0.0, field.x - field.half_width)
    high = min(height, field.y + field.half_height) - max(0.0, field.y - field.half_height)
    return min(wide / field.half_width, high / field.half_height) / 2


def _find_again(pixels: NDArray[np.uint8], disc: Disc) -> Disc:
    """A small field, located in its surroundings alone, which are halved less often: the edge is exact again."""
    margin = _SURROUNDINGS_RADII * disc.radius
    left, top = max(0, int(disc.x - margin)), max(0, int(disc.y - margin))
    inner = _find(pixels[top : int(disc.y + margin), left : int(disc.x + margin)])
    if inner.fit != CIRCLE or inner.fault:
        return disc
    return replace(inner, x=inner.x + left, y=inner.y + top)


def _disc(field: Ellipse, fit: str, fault: str = "") -> Disc:
    return Disc(field.x, field.y, field.radius, fit, field.aspect, fault)


def _halved(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Halves the picture until its longer side is at most `_SMALL_PX`; an exact 2×2 mean is INTER_AREA's fast path."""
    factor = 1.0
    while max(pixels.shape[:2]) > _SMALL_PX and min(pixels.shape[:2]) >= 2:
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        pixels = cv2.resize(pixels[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        factor *= 2
    return pixels, factor


def _brightest_channel(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    level: NDArray[np.uint8] = cv2.medianBlur(cv2.max(cv2.max(small[..., 0], small[..., 1]), small[..., 2]), 3)
    return level


def _on_dark_ground(level: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The largest bright region; None if no dark background surrounds one."""
    counts = np.cumsum(cv2.calcHist([level], [0], None, [256], [0, 256]))
    background, typical = np.searchsorted(counts, counts[-1] * np.array(_BACKGROUND_AND_FIELD_QUANTILES))
    if typical < _MIN_FIELD_LEVEL or background > _MAX_BACKGROUND_FRACTION * typical:
        return None
    threshold = background + _FIELD_THRESHOLD * (typical - background)
    mask = cv2.compare(level, float(int(threshold)), cv2.CMP_GT)
    # Opening separates date stamps and stray pixels from the field.
    outlines = regions(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _OPENING))
    if not outlines:
        return None
    region = filled(outlines[0], level.shape)
    fraction = np.count_nonzero(region) / region.size
    return region if _MIN_MASK_FRACTION <= fraction <= _FULL_MASK_FRACTION else None


def _something_beside(level: NDArray[np.uint8], field: Ellipse) -> bool:
    """Whether a region beside the field is bright and large enough to be another one, or a part of one."""
    outside = (~field.inside(level.shape, _BEYOND_HALO)).view(np.uint8)
    counts = np.cumsum(cv2.calcHist([level], [0], outside, [256], [0, 256]))
    ground = int(np.searchsorted(counts, counts[-1] * _GROUND_QUANTILE))
    bright = cv2.bitwise_and(cv2.compare(level, float(ground + _ABOVE_GROUND), cv2.CMP_GT), 255, mask=outside)
    outlines, _ = cv2.findContours(
        cv2.morphologyEx(bright, cv2.MORPH_OPEN, _OPENING), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    return any(min(cv2.boundingRect(outline)[2:]) >= _MIN_SIDE_RADII * field.radius for outline in outlines)


def _fault_of_box(box: Ellipse, shape: tuple[int, ...]) -> str:
    """Why tissue without a rim cannot be graded as one eye, by its bounding box; "" if it may be."""
    if _is_long(box):
        return SEVERAL_FIELDS
    return SMALL_FIELD if box.radius < _MIN_RADIUS_FRACTION * max(shape[:2]) else ""


def _is_long(box: Ellipse) -> bool:
    return not 1 / _MAX_BOX_ASPECT <= box.aspect <= _MAX_BOX_ASPECT


def _without_circle(region: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> Disc:
    """The declared fallbacks: the bounding box of the bright region, or the whole frame."""
    height, width = shape[:2]
    if region is None:
        return Disc(width / 2, height / 2, max(width, height) / 2, FULL_FRAME)
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    wide, high = float(right - left), float(bottom - top)
    return Disc(float(left + right) / 2, float(top + bottom) / 2, max(wide, high) / 2, BOUNDING_BOX, wide / high)
