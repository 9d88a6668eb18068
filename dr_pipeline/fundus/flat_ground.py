"""What of a picture is flat ground: frames and margins around it, gutters through it, the colours along its border."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2

Pixels = NDArray[np.uint8]

# A line of pixels across the whole picture is part of a frame, a bar or a gutter if its levels vary by at most this.
_UNIFORM_LEVELS = 12
# So many uniform lines are kept around the rest: they show which ground it lies on.
KEPT_LINES = 4
# Flat colours of the border: at least this fraction of its pixels within _NEAR levels, with at most this deviation
# unless it is black, which cameras leave noisy. A colour as red as this is tissue that the frame cut.
_BORDER_PX, _MIN_SHARE, _NEAR, _MAX_DEVIATION, TISSUE_RED_OVER_GREEN = 2, 0.06, 8, 2.5, 1.15
_BIN_BITS = 4
# A pixel is no ground if one channel differs by more; from black, if its brightest channel is this much brighter.
_GROUND_LEVELS, _ABOVE_BLACK, _BLACK = 14, 10, 20
_OPENING = np.ones((5, 5), np.uint8)


def foreground(view: Pixels) -> NDArray[np.uint8] | None:
    """(height, width): 255 where the picture is not one of the flat colours of its border, nor a line across it.

    Returns:
        None if there is no ground: the border varies, and no line divides the picture.
    """
    rows, columns = _uniform_lines(view)
    colours = _border_colours(view)
    if not colours and not rows.any() and not columns.any():
        return None
    mask = np.full(view.shape[:2], 255, np.uint8)
    for colour in colours:
        if max(colour) <= _BLACK:  # vignetting darkens the rim, but lit tissue is brighter than an unlit ground
            brightest = cv2.max(cv2.max(view[..., 0], view[..., 1]), view[..., 2])
            differs = cv2.compare(brightest, max(colour) + _ABOVE_BLACK, cv2.CMP_GT)
        else:
            low, high = (tuple(level + step for level in colour) for step in (-_GROUND_LEVELS, _GROUND_LEVELS))
            differs = cv2.bitwise_not(cv2.inRange(view, low, high))
        mask = cv2.bitwise_and(mask, differs)
    mask[rows] = 0
    mask[:, columns] = 0
    opened: NDArray[np.uint8] = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _OPENING)
    return opened


def content_box(picture: Pixels) -> tuple[int, int, int, int]:
    """(x, y, width, height) without the frames, margins and bars around it, but for `KEPT_LINES` of the last."""
    left, top, right, bottom = 0, 0, picture.shape[1], picture.shape[0]
    while True:
        rows, columns = _uniform_lines(picture[top:bottom, left:right])
        varied_rows, varied_columns = np.flatnonzero(~rows), np.flatnonzero(~columns)
        if not len(varied_rows) or not len(varied_columns):
            return left, top, 0, 0
        first_x, last_x = left + int(varied_columns[0]), left + int(varied_columns[-1])
        first_y, last_y = top + int(varied_rows[0]), top + int(varied_rows[-1])
        if (first_x, first_y, last_x + 1, last_y + 1) == (left, top, right, bottom):
            break
        left, top, right, bottom = first_x, first_y, last_x + 1, last_y + 1
    left, top = max(0, left - KEPT_LINES), max(0, top - KEPT_LINES)
    right, bottom = min(picture.shape[1], right + KEPT_LINES), min(picture.shape[0], bottom + KEPT_LINES)
    return left, top, right - left, bottom - top


def trimmed(view: Pixels) -> Pixels:
    """Without `KEPT_LINES` on each side."""
    return view[KEPT_LINES:-KEPT_LINES, KEPT_LINES:-KEPT_LINES]


def _uniform_lines(view: Pixels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows and which columns have one colour from end to end."""
    flat = []
    for axis in (1, 0):
        spread = cv2.subtract(cv2.reduce(view, axis, cv2.REDUCE_MAX), cv2.reduce(view, axis, cv2.REDUCE_MIN))
        flat.append((spread.reshape(-1, 3) <= _UNIFORM_LEVELS).all(axis=1))
    return flat[0], flat[1]


def _border_colours(view: Pixels) -> list[tuple[int, int, int]]:
    """The flat colours along the border, the most frequent first."""
    edge = _BORDER_PX
    sides = (view[:edge], view[-edge:], view[:, :edge].transpose(1, 0, 2), view[:, -edge:].transpose(1, 0, 2))
    ring = np.concatenate([side.reshape(-1, 3) for side in sides]).astype(np.int64)
    left, colours = ring, []
    while len(left) >= _MIN_SHARE * len(ring):
        bins = (left >> _BIN_BITS) @ np.array([1 << 2 * _BIN_BITS, 1 << _BIN_BITS, 1])
        centre = np.median(left[bins == np.bincount(bins).argmax()], axis=0)
        near = (np.abs(left - centre) <= _NEAR).all(axis=1)
        if np.count_nonzero(near) < _MIN_SHARE * len(ring):
            break
        is_tissue = centre[0] >= TISSUE_RED_OVER_GREEN * centre[1]
        is_flat = left[near].std(axis=0).max() <= _MAX_DEVIATION
        if centre.max() <= _BLACK or (is_flat and not is_tissue):
            colours.append((int(centre[0]), int(centre[1]), int(centre[2])))
        left = left[~near]
    return colours
