"""Detects text burnt in beside the disc: a name, date or number in the dark corners that must not leave a clinic.

A line of pixels through letters has many dark-to-bright transitions, and so have several lines in a row. A notch, a
halo, glare at the rim or a marker causes only one or two.
"""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2

# The picture is subsampled so that its longer side has about this many pixels; letters of 1 % of a 3 : 2 picture's
# height are then 7 px high. Pixels are picked, not averaged, so that a thin stroke keeps its contrast.
_SIDE_PX = 1072
# The search excludes this many radii around the centre: a notch reaches 6 % beyond the rim, and the rim has a halo.
_CLEAR_OF_RIM = 1.08
# A pixel is bright if it is this far above the background's median, or this many times the background's upper spread.
_MIN_CONTRAST, _SPREADS = 20, 6
_MEDIAN_AND_UPPER_QUANTILES = (0.5, 0.84)
_EVERY = 4  # only every fourth line enters the quantiles
# Text: in one half of the picture, _MIN_LINES of _OF_LINES neighbouring lines have at least _MIN_STEPS transitions.
_MIN_STEPS = 4
_MIN_LINES, _OF_LINES = 4, 7
# With fewer pixels beside the disc than this fraction of the frame there is no room for text.
_MIN_BACKGROUND_FRACTION = 0.01


def has_annotation(pixels: NDArray[np.uint8], disc: Disc) -> bool:
    """Whether text seems to be burnt in beside the disc.

    Detects upright text and text rotated by 90°, in any colour but pure blue. Text on the disc, or closer to it than
    8 % of its radius, is not detected. Without a fitted circle the background is unknown and the result is False.

    Args:
        pixels: (height, width, 3) RGB, as decoded.
        disc: In px of `pixels`.
    """
    if disc.fit != CIRCLE:
        return False
    step = max(1, round(max(pixels.shape[:2]) / _SIDE_PX))
    level = cv2.max(*(np.ascontiguousarray(pixels[::step, ::step, channel]) for channel in (0, 1)))
    background = _background_mask(level.shape, disc.scaled(1 / step))
    if min(level.shape) <= _OF_LINES or cv2.countNonZero(background) < _MIN_BACKGROUND_FRACTION * background.size:
        return False
    bright = cv2.bitwise_and(cv2.compare(level, _threshold(level, background), cv2.CMP_GT), background)
    across, down = cv2.subtract(bright[:, 1:], bright[:, :-1]), cv2.subtract(bright[1:], bright[:-1])
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


def _background_mask(shape: tuple[int, ...], disc: Disc) -> NDArray[np.uint8]:
    """255 beside the disc, 0 on it and near it."""
    mask = np.full(shape, 255, np.uint8)
    cv2.circle(mask, (round(disc.x), round(disc.y)), round(disc.radius * _CLEAR_OF_RIM), 0, -1)
    return mask


def _threshold(level: NDArray[np.uint8], background: NDArray[np.uint8]) -> float:
    counts = np.cumsum(cv2.calcHist([level[::_EVERY]], [0], background[::_EVERY], [256], [0, 256]))
    median, upper = np.searchsorted(counts, counts[-1] * np.array(_MEDIAN_AND_UPPER_QUANTILES))
    return float(min(254, median + max(_MIN_CONTRAST, _SPREADS * (upper - median))))


def _is_text(steps: NDArray[np.uint8], axis: int) -> bool:
    """Whether enough neighbouring lines have enough transitions; `axis` is the one that the lines run along."""
    per_line = cv2.reduce(steps, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    busy = (per_line >= 255 * _MIN_STEPS).astype(np.int64)
    if len(busy) < _OF_LINES:
        return False
    return bool(np.convolve(busy, np.ones(_OF_LINES, np.int64), mode="valid").max() >= _MIN_LINES)
