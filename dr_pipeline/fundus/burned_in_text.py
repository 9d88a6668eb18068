"""Detects text burnt in beside the disc: a name, date or number in the corners that must not leave a clinic.

Beside the disc a photograph is flat: of 413 IDRiD photographs two have edges there, of 8 px at most. Whatever has sharp
edges there is looked at, in any script, colour and direction, dark or bright. Its outline decides: that of
signs is long, since strokes bend, cross and enclose holes; that of a notch, a marker or a bar that covers a name is
hardly longer than a string around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.ink_shape import LABEL_OUTLINE, SIGN_FILL, SIGN_OUTLINE, InkShape, ink_shape
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.rim_text import has_text_over_rim

# The picture is subsampled so that its longer side has about this many pixels; letters of 1 % of a 3 : 2 picture's
# height are then 7 px high. Pixels are picked, not averaged, so that a thin stroke keeps its contrast.
_SIDE_PX = 1072
# The search begins so many radii from the centre. Up to the second one there are notches, markers and the rim's halo.
_RIM, _BESIDE = 1.008, 1.065
# An edge: the range of brightness in 3 × 3 px is at least this, or this many times the upper spread above the median.
_MIN_EDGE, _SPREADS = 28, 6
_MEDIAN_AND_UPPER_QUANTILES = (0.5, 0.84)
_SPARSE = 8  # every eighth pixel decides whether the ground is bright
_BRIGHT_GROUND = 100
_EVERY = 8  # only every eighth line enters the quantiles
_CELL_PX = 4  # edges in neighbouring cells of this size belong together
_KERNEL = np.ones((3, 3), np.uint8)
# With fewer pixels beside the disc than this fraction of the frame there is no room for text.
_MIN_BACKGROUND_FRACTION = 0.01
_MIN_EDGE_PX, _MIN_CONTRAST = 12, 40
_SPECK_PX, _SPECK_AT_RIM_PX = 3, 7  # pixels of a contour
_MAX_SIDE_FRACTION = 0.6  # a longer shape is a frame or the border of a page
_SURE_CONTRAST = 60  # where little but the shape's form speaks for a sign
# Simple signs such as C, L, 7 or ㄱ, and single strokes such as I or 一; an arc of the rim's reflection is neither.
_MIN_STROKE_PX, _MIN_SIGN_PX, _MAX_STROKE_PX, _MAX_STROKE_LENGTH_PX = 4, 6, 12, 150
_MIN_RADIAL_FRACTION = 0.25
_RIM_FRACTION = 0.1  # thinner along the radius than this fraction of its length is a piece of the rim


@dataclass(frozen=True)
class _Shape:
    """What lies together beside the disc, measured in px of the subsampled picture.

    Attributes:
        edge_px: Number of pixels on edges.
        contrast: Between ink and ground, 0–255.
        shape: Of the ink.
        radial: Extent along the radius, px.
        at_border: Whether it touches the frame.
        is_beside: Whether it lies beyond `_BESIDE` as a whole.
    """

    edge_px: int
    contrast: float
    shape: InkShape
    radial: float
    at_border: bool
    is_beside: bool

    @property
    def is_sign(self) -> bool:
        """Whether it is a sign, several signs, or the part of one outside the rim."""
        shape = self.shape
        if self.edge_px < _MIN_EDGE_PX or self.contrast < _MIN_CONTRAST or self.radial < _RIM_FRACTION * shape.length:
            return False
        if shape.outline >= LABEL_OUTLINE or (shape.outline >= SIGN_OUTLINE and shape.fill < SIGN_FILL):
            return True
        if not self.is_beside or self.at_border or self.contrast < _SURE_CONTRAST or shape.length < _MIN_SIGN_PX:
            return False
        is_arc = self.radial < _MIN_RADIAL_FRACTION * shape.length
        is_simple_sign = shape.fill < SIGN_FILL and shape.breadth >= _MIN_STROKE_PX
        is_stroke = shape.breadth <= min(_MAX_STROKE_PX, shape.length / 3) and shape.length < _MAX_STROKE_LENGTH_PX
        return not is_arc and (is_simple_sign or is_stroke)


def has_annotation(pixels: NDArray[np.uint8], disc: Disc) -> bool:
    """Whether text seems to be burnt in beside the disc or over its rim.

    Detects single signs and lines of any script, colour and direction. Text that lies on the disc as a whole is not
    detected. Without one round or elliptic disc there is no beside, and the result is False.

    Args:
        pixels: (height, width, 3) RGB, as decoded.
        disc: In px of `pixels`.
    """
    if disc.fit != CIRCLE or disc.fault:
        return False
    step = max(1, round(max(pixels.shape[:2]) / _SIDE_PX))
    return _has_text_beside(pixels, disc.scaled(1 / step), step) or has_text_over_rim(pixels, disc, step)


def _has_text_beside(pixels: NDArray[np.uint8], disc: Disc, step: int) -> bool:
    """Whether there is text beside the disc, which is given in px of the subsampled picture."""
    height, width = pixels.shape[0] // step, pixels.shape[1] // step
    if min(height, width) < _CELL_PX:
        return False
    background = _without_disc(np.full((height, width), 255, np.uint8), disc, _RIM)
    if cv2.countNonZero(background) < _MIN_BACKGROUND_FRACTION * background.size:
        return False
    edges = _edges(pixels, step, background, disc)
    beside = _without_disc(edges.copy(), disc, _BESIDE)
    # Twice: a sign beside the disc may hang together with a notch, or with the border of a page.
    return any(
        _measured(pixels, step, points, disc, is_beside=is_beside).is_sign
        for plane, is_beside in ((beside, True), (edges, False))
        for points in _shapes(plane)
    )


def _without_disc(plane: NDArray[np.uint8], disc: Disc, radii: float) -> NDArray[np.uint8]:
    """The plane itself, now 0 up to so many radii from the disc's centre."""
    axes = round(disc.half_width * radii), round(disc.half_height * radii)
    cv2.ellipse(plane, (round(disc.x), round(disc.y)), axes, 0, 0, 360, 0, -1)
    return plane


def _edges(pixels: NDArray[np.uint8], step: int, background: NDArray[np.uint8], disc: Disc) -> NDArray[np.uint8]:
    """255 on edges of the background, (height, width) of the subsampled picture.

    On a dark ground the brightest channel shows every colour, on a bright one the darkest.
    """
    beside = background[::_SPARSE, ::_SPARSE]
    green = np.ascontiguousarray(pixels[:: step * _SPARSE, :: step * _SPARSE, 1][: beside.shape[0], : beside.shape[1]])
    combine = cv2.max if cv2.mean(green, beside)[0] < _BRIGHT_GROUND else cv2.min
    steepness = np.zeros(background.shape, np.uint8)
    for rows, columns in _around(background.shape, disc):
        tile = pixels[rows.start * step : rows.stop * step, columns.start * step : columns.stop * step]
        size = columns.stop - columns.start, rows.stop - rows.start
        picked = cv2.resize(tile, size, interpolation=cv2.INTER_NEAREST)  # each step-th pixel, faster than a slice
        red, green, blue = cv2.split(picked)
        level = combine(combine(red, green), blue)
        steepness[rows, columns] = cv2.morphologyEx(level, cv2.MORPH_GRADIENT, _KERNEL)
    counts = np.cumsum(cv2.calcHist([steepness[::_EVERY]], [0], background[::_EVERY], [256], [0, 256]))
    median, upper = np.searchsorted(counts, counts[-1] * np.array(_MEDIAN_AND_UPPER_QUANTILES))
    threshold = min(254, median + max(_MIN_EDGE, _SPREADS * (upper - median)))
    # In place, since large new arrays take longer than the work on them.
    cv2.threshold(steepness, float(threshold), 255, cv2.THRESH_BINARY, dst=steepness)
    cv2.bitwise_and(steepness, background, dst=steepness)
    return steepness


def _around(shape: tuple[int, ...], disc: Disc) -> list[tuple[slice, slice]]:
    """Rows and columns of the four tiles around the square inscribed in the disc: half of a picture at most."""
    height, width = shape
    half = disc.radius / np.sqrt(2)
    top, bottom = (int(np.clip(disc.y + side * half, 0, height)) for side in (-1, 1))
    left, right = (int(np.clip(disc.x + side * half, 0, width)) for side in (-1, 1))
    tiles = [
        (slice(0, height), slice(0, left)),
        (slice(0, height), slice(right, width)),
        (slice(0, top), slice(left, right)),
        (slice(bottom, height), slice(left, right)),
    ]
    return [(rows, columns) for rows, columns in tiles if rows.start < rows.stop and columns.start < columns.stop]


def _shapes(edges: NDArray[np.uint8]) -> Iterator[NDArray[np.int32]]:
    """The edge pixels of each shape, (N, 2) x and y; frames, and what has too few for a sign, are left out."""
    left, top, width, height = cv2.boundingRect(edges)
    points = cv2.findNonZero(edges[top : top + height, left : left + width]) if width else None
    if points is None or len(points) < _MIN_EDGE_PX:
        return
    points += np.array([left, top], np.int32)
    columns, rows = points[:, 0] // _CELL_PX, points[:, 1] // _CELL_PX
    cells = np.zeros((edges.shape[0] // _CELL_PX + 1, edges.shape[1] // _CELL_PX + 1), np.uint8)
    cells[rows, columns] = 1
    labels = cv2.connectedComponents(cells, connectivity=8)[1][rows, columns]
    order = np.argsort(labels, kind="stable")
    for of_shape in np.split(points[order], np.flatnonzero(np.diff(labels[order])) + 1):
        if len(of_shape) >= _MIN_EDGE_PX and np.ptp(of_shape, axis=0).max() <= _MAX_SIDE_FRACTION * max(edges.shape):
            yield of_shape


def _measured(
    pixels: NDArray[np.uint8], step: int, points: NDArray[np.int32], disc: Disc, *, is_beside: bool
) -> _Shape:
    """Measures one shape.

    Args:
        pixels: The picture as decoded.
        step: Of the subsampled picture.
        points: (N, 2), the shape's edge pixels in the subsampled picture.
        disc: In px of the subsampled picture.
        is_beside: See `_Shape`.
    """
    first, last = points.min(axis=0), points.max(axis=0)
    rows, columns = (slice(first[axis] * step, last[axis] * step + 1, step) for axis in (1, 0))
    window = np.ascontiguousarray(pixels[rows, columns])
    hull = cv2.convexHull(points - first)
    inside = cv2.fillConvexPoly(np.zeros(window.shape[:2], np.uint8), hull, 255)
    within = np.sort(window[inside > 0], axis=0)  # (pixels, 3)
    low, high = within[len(within) // 20], within[-1 - len(within) // 20]
    contrast = high.astype(np.int64) - low
    channel = int(np.argmax(contrast))
    level = int(low[channel]) + contrast[channel] / 2
    _, bright = cv2.threshold(cv2.extractChannel(window, channel), level, 255, cv2.THRESH_BINARY)
    ink = cv2.bitwise_and(bright, inside)
    # Specks have no outline; at the rim the halo's noise makes larger ones.
    shape = ink_shape(ink, _SPECK_PX if is_beside else _SPECK_AT_RIM_PX, hull)
    radii = np.hypot(points[:, 0] - disc.x, points[:, 1] - disc.y)
    corner = (pixels.shape[1] // step - 1, pixels.shape[0] // step - 1)
    return _Shape(
        edge_px=len(points),
        contrast=float(contrast[channel]),
        shape=shape,
        radial=float(radii.max() - radii.min()),
        at_border=bool((first <= 2).any() or (last >= np.array(corner) - 2).any()),
        is_beside=is_beside,
    )
