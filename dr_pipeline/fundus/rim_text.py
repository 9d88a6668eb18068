"""Detects text burnt in over the rim of the disc, where a photograph is not flat.

The ring around the rim is unrolled into a strip, in which tissue, rim and ground are layers. Ink has a colour that is
neither that of its layer nor between tissue and ground, with sharp edges all around. Notches consist of tissue or
ground, reflections fade, markers have a plain outline. Ink in the colour of tissue is not found.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import Disc
from dr_pipeline.fundus.ink_shape import LABEL_OUTLINE, SIGN_FILL, SIGN_OUTLINE, InkShape, ink_shape
from dr_pipeline.fundus.opencv import cv2

# The strip, in radii. Farther out `burned_in_text` searches.
_INNER, _OUTER = 0.93, 1.07
_MIN_RADIUS_PX = 40
_TISSUE_ROWS, _GROUND_ROWS = 1 / 3, 1 / 6  # of the strip
_EVERY, _MIN_COLUMNS = 16, 8  # only so many columns enter the medians
_BEYOND_PX = 2  # so far outside the rim there may be tissue, since the disc is found to 0.2 %
_TOLERANCE = 28  # grey levels
_BRIGHTER = 1.5  # times as far from the ground as typical tissue is still tissue
_MAX_GROUP_PX, _AROUND_PX = 150, 60
_LAYER_PX = 3  # a layer's colour is that within so many rows
# The rim is not quite round. Lines of this length along it, and thinner than this, are no ink.
_RIM_PX = 4
_LINE_GAP, _LINE_ALONG, _LINE_ACROSS = np.ones((1, 5), np.uint8), np.ones((1, 21), np.uint8), np.ones((5, 1), np.uint8)
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_MIN_INK_PX, _MIN_BEYOND_PX, _SPECK_PX = 8, 2, 3
# Over 500 photographs and squashed, reduced and strongly compressed copies, what has a contrast of 50 is solid, a
# line along the rim, or sharp at less than 0.7 of its boundary; 99 % of planted signs are above 0.8.
_MIN_CONTRAST, _MIN_SIMPLE_CONTRAST, _SURE_CONTRAST, _CERTAIN_CONTRAST = 42, 50, 60, 100
_MIN_SHARPNESS, _MIN_SIMPLE_SHARPNESS = 0.75, 0.95
_MIN_HEIGHT = 0.25  # of the length; what is lower is a line along the rim
# Thin strokes may be faint. What is faint and large is a reflection on tissue; what is faint and scattered, noise.
_MAX_FAINT_PX, _MIN_FAINT_FILL, _MIN_FAINT_OUTLINE = 45, 0.3, 0.75
_SIMPLE_FILL, _MAX_STROKE_PX = 0.8, 12


@dataclass(frozen=True)
class _Ink:
    """One piece of ink.

    Attributes:
        shape: As it lies in the strip: its height is along the radius.
        contrast: Grey levels from the nearest colour that is expected.
        sharpness: Fraction of its boundary where half of the contrast lies within 3 px.
    """

    shape: InkShape
    contrast: int
    sharpness: float

    @property
    def is_sign(self) -> bool:
        """Whether it is a sign, several signs or a part of one."""
        shape, contrast = self.shape, self.contrast
        if contrast < _MIN_CONTRAST or self.sharpness < _MIN_SHARPNESS:
            return False
        is_scattered = shape.fill < _MIN_FAINT_FILL or shape.outline < _MIN_FAINT_OUTLINE
        if contrast < _SURE_CONTRAST and (is_scattered or shape.length > _MAX_FAINT_PX):
            return False
        if shape.outline >= LABEL_OUTLINE:
            return True
        if shape.height < _MIN_HEIGHT * shape.length:
            return False
        if shape.outline >= SIGN_OUTLINE and (shape.fill < SIGN_FILL or contrast >= _SURE_CONTRAST):
            return True
        if contrast >= _CERTAIN_CONTRAST:
            return shape.fill < _SIMPLE_FILL or shape.breadth <= min(_MAX_STROKE_PX, shape.length / 3)
        is_clear = contrast >= _MIN_SIMPLE_CONTRAST and self.sharpness >= _MIN_SIMPLE_SHARPNESS
        return is_clear and shape.fill < SIGN_FILL


def has_text_over_rim(pixels: NDArray[np.uint8], disc: Disc, step: int) -> bool:
    """Whether a sign seems to be burnt in that lies over the rim or close outside.

    Args:
        pixels: (height, width, 3) RGB, as decoded.
        disc: In px of `pixels`; a circle or an ellipse.
        step: Distance of the pixels that are looked at.
    """
    radius = disc.radius / step
    if radius < _MIN_RADIUS_PX:
        return False
    radii = np.arange(_INNER, _OUTER, 1 / radius)
    rim, count = int(np.searchsorted(radii, 1)), round(2 * np.pi * radius)
    turns = np.arange(count) / count
    _, is_present = _unrolled(pixels, disc, radii[[0, -1]], turns)
    whole = np.flatnonzero(is_present.all(axis=0))
    if len(whole) < _MIN_COLUMNS * _EVERY:
        return False
    beyond, is_present = _unrolled(pixels, disc, radii[rim + _BEYOND_PX :], turns)
    deviation = _deviation(beyond, _typical(pixels, disc, radii, turns[whole[::_EVERY]]))
    columns = np.flatnonzero(((deviation > _TOLERANCE) & is_present).any(axis=0))
    return any(
        ink.is_sign
        for window, nearby in _windows(columns, whole, count)
        for ink in _pieces(
            *_unrolled(pixels, disc, radii, turns[window]), _typical(pixels, disc, radii, turns[nearby]), rim
        )
    )


def _unrolled(
    pixels: NDArray[np.uint8], disc: Disc, radii: NDArray[np.float64], turns: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Rings around the disc, (radii, turns, 3), from the inside outwards, and where the frame shows them."""
    angles, distances = (2 * np.pi * turns).astype(np.float32), radii.astype(np.float32)
    # Coordinates count from the corner of a pixel, OpenCV's from its centre.
    x = np.outer(distances, disc.half_width * np.cos(angles)) + np.float32(disc.x - 0.5)
    y = np.outer(distances, disc.half_height * np.sin(angles)) + np.float32(disc.y - 0.5)
    height, width = pixels.shape[:2]
    is_present = cv2.inRange(x, 0, width - 1) & cv2.inRange(y, 0, height - 1)
    return cv2.remap(pixels, x, y, cv2.INTER_NEAREST), is_present > 0


def _typical(
    pixels: NDArray[np.uint8], disc: Disc, radii: NDArray[np.float64], turns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The median colour at each radius, (radii, 3)."""
    # Sorted along the last axis, where the values lie side by side.
    levels = np.moveaxis(_unrolled(pixels, disc, radii, turns)[0], 1, 2).copy()
    levels.sort(axis=2)
    last = levels.shape[2] - 1
    return (levels[..., last // 2].astype(np.float64) + levels[..., (last + 1) // 2]) / 2


def _deviation(strip: NDArray[np.uint8], typical: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey levels between each pixel and the nearest mixture of ground and tissue, (radii, angles).

    Args:
        strip: (radii, angles, 3), some rows or columns of it.
        typical: (radii, 3), the typical colours of all rows.
    """
    rows = len(typical)
    tissue = np.median(typical[: round(rows * _TISSUE_ROWS)], axis=0)
    ground = np.median(typical[-round(rows * _GROUND_ROWS) :], axis=0)
    _, (length,), axes = np.linalg.svd((tissue - ground)[None])  # the first axis leads from one to the other
    axes[0] /= 2  # so that the range of 8 bits suffices
    middle = ground + (tissue - ground) * _BRIGHTER / 2
    turned = cv2.transform(strip, np.column_stack([axes, 128 - axes @ middle]))
    excess = cv2.subtract(cv2.absdiff(turned, (128.0,) * 4), (length * _BRIGHTER / 4, 0.0, 0.0, 0.0))
    along, *across = (cv2.extractChannel(excess, channel) for channel in range(3))
    deviation: NDArray[np.uint8] = cv2.max(cv2.add(along, along), cv2.max(*across))
    return deviation


def _windows(
    columns: NDArray[np.int64], whole: NDArray[np.int64], count: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The columns around each group of columns with ink, and columns to both sides of the group to compare with.

    Args:
        columns: Where there is ink.
        whole: The columns that the frame shows from top to bottom.
        count: Of all columns.
    """
    while len(columns):
        group = columns[columns < columns[0] + _MAX_GROUP_PX]
        first, last = int(group[0]), int(group[-1])
        distance = np.minimum((whole - last) % count, (first - whole) % count)
        distance[(whole >= first) & (whole <= last)] = count
        nearest = whole[np.argsort(distance, kind="stable")]
        yield np.arange(first - _AROUND_PX, last + _AROUND_PX) % count, nearest[: 4 * _AROUND_PX : 4]
        columns = columns[len(group) :]


def _pieces(
    strip: NDArray[np.uint8], is_present: NDArray[np.bool_], typical: NDArray[np.float64], rim: int
) -> Iterator[_Ink]:
    """Each piece of ink that reaches beyond the rim.

    Args:
        strip: (radii, angles, 3), some columns of the whole strip.
        is_present: (radii, angles), where the frame shows it.
        typical: (radii, 3), the colours nearby.
        rim: The row of the rim.
    """
    deviation = _deviation(strip, typical)
    is_ink = (deviation > _TOLERANCE) & is_present
    # A median is a whole number or a half. Planes of integers are compared several times faster than pixels of floats.
    levels, doubled = 2 * np.moveaxis(strip, 2, 0).astype(np.int16), np.rint(2 * typical.T).astype(np.int16)
    for rows in range(-_LAYER_PX, _LAYER_PX + 1):
        layer = np.roll(doubled, rows, axis=1)[:, :, None]
        is_ink &= np.abs(levels - layer).max(axis=0) > 2 * _TOLERANCE
    ink = is_ink.astype(np.uint8)
    lines = cv2.morphologyEx(cv2.morphologyEx(ink, cv2.MORPH_CLOSE, _LINE_GAP), cv2.MORPH_OPEN, _LINE_ALONG)
    thick = cv2.morphologyEx(ink, cv2.MORPH_OPEN, _LINE_ACROSS)
    at_rim = slice(rim - _RIM_PX, rim + _RIM_PX)
    ink[at_rim][lines[at_rim] > thick[at_rim]] = 0
    steepness = cv2.morphologyEx(deviation, cv2.MORPH_GRADIENT, _NEIGHBOURS)
    count, labels = cv2.connectedComponents(cv2.dilate(ink, _NEIGHBOURS))
    for label in range(1, count):
        piece = ((labels == label) & (ink > 0)).astype(np.uint8)
        if cv2.countNonZero(piece) < _MIN_INK_PX or cv2.countNonZero(piece[rim + 1 :]) < _MIN_BEYOND_PX:
            continue
        boundary = piece > cv2.erode(piece, _NEIGHBOURS)
        contrast = int(np.percentile(deviation[piece > 0], 80))
        left, top, width, height = cv2.boundingRect(piece)
        shape = ink_shape(piece[top : top + height, left : left + width], _SPECK_PX)
        yield _Ink(shape, contrast, float(np.mean(steepness[boundary] >= contrast / 2)))
