"""Finds text burnt in beside the disc: a name, a date or a number in the dark corners that must not leave a clinic.

Letters cross a line of pixels many times, and do so on several lines in a row. A notch, a halo, glare at the rim or a
marker does it once or twice.
"""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2

# Every so many pixels are looked at that the longer side has about this many; letters of 1 % of a 3 : 2 picture's
# height are then 7 px high. Pixels are picked, not averaged: a thin stroke keeps its contrast.
_SIDE_PX = 1072
# Nothing within this many radii is looked at: a notch reaches 6 % beyond the rim, and the rim has a halo.
_CLEAR_OF_RIM = 1.08
# A pixel is lit where it is this far above the ground's median, or this many times the ground's own upper spread.
_MIN_CONTRAST, _SPREADS = 20, 6
_MEDIAN_AND_UPPER_QUANTILES = (0.5, 0.84)
_EVERY = 4  # line is counted for them
# Text: in one half of the picture, this many of so many neighbouring lines have at least so many dark-to-lit steps.
_MIN_STEPS = 4
_MIN_LINES, _OF_LINES = 4, 7
# With fewer pixels beside the disc than this share of the frame there is no room for text.
_MIN_GROUND_SHARE = 0.01


def has_annotation(pixels: NDArray[np.uint8], disc: Disc) -> bool:
    """Whether text seems to be burnt in beside the disc.

    Upright text and text turned by 90° are found, in any colour but pure blue. What stands within the disc, or
    closer to it than 8 % of its radius, is not looked for, nor is anything where no circle was found: the ground is
    then not known.

    Args:
        pixels: (height, width, 3) RGB, as decoded.
        disc: In px of `pixels`.
    """
    if disc.fit != CIRCLE:
        return False
    step = max(1, round(max(pixels.shape[:2]) / _SIDE_PX))
    level = cv2.max(*(np.ascontiguousarray(pixels[::step, ::step, channel]) for channel in (0, 1)))
    ground = _ground(level.shape, disc.scaled(1 / step))
    if min(level.shape) <= _OF_LINES or cv2.countNonZero(ground) < _MIN_GROUND_SHARE * ground.size:
        return False
    lit = cv2.bitwise_and(cv2.compare(level, _threshold(level, ground), cv2.CMP_GT), ground)
    across, down = cv2.subtract(lit[:, 1:], lit[:, :-1]), cv2.subtract(lit[1:], lit[:-1])
    middle_y, middle_x = level.shape[0] // 2, level.shape[1] // 2
    return any(
        _is_text(steps, axis)
        for steps, axis in (
            (across[:, :middle_x], 1),
            (across[:, middle_x:], 1),
            (down[:middle_y], 0),
            (down[middle_y:], 0),
        )
    )


def _ground(shape: tuple[int, ...], disc: Disc) -> NDArray[np.uint8]:
    """255 beside the disc, 0 on it and near it."""
    ground = np.full(shape, 255, np.uint8)
    cv2.circle(ground, (round(disc.x), round(disc.y)), round(disc.radius * _CLEAR_OF_RIM), 0, -1)
    return ground


def _threshold(level: NDArray[np.uint8], ground: NDArray[np.uint8]) -> float:
    counts = np.cumsum(cv2.calcHist([level[::_EVERY]], [0], ground[::_EVERY], [256], [0, 256]))
    median, upper = np.searchsorted(counts, counts[-1] * np.array(_MEDIAN_AND_UPPER_QUANTILES))
    return float(min(254, median + max(_MIN_CONTRAST, _SPREADS * (upper - median))))


def _is_text(steps: NDArray[np.uint8], axis: int) -> bool:
    """Whether enough neighbouring lines have enough steps; `axis` is the one the lines run along."""
    per_line = cv2.reduce(steps, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    busy = (per_line >= 255 * _MIN_STEPS).astype(np.int64)
    if len(busy) < _OF_LINES:
        return False
    return bool(np.convolve(busy, np.ones(_OF_LINES, np.int64), mode="valid").max() >= _MIN_LINES)
