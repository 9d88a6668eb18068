"""Similarity of two registered canvases: about 1 for copies of one photograph, however the file was processed."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.perceptual_hash import local_contrast

SIDE_PX = 128
# The finer the window, the less two photographs of one eye resemble each other, and the less an arm (Ben Graham, CLAHE)
# changes: benchmarks/near_duplicates.py. Finer still, JPEG's noise would make copies differ.
_WINDOW_PX = 4.0
# A cropped copy's disc is fitted again; its position and size may differ by some percent of the side.
_SCALES = (1.0, 0.99, 1.01, 0.98, 1.02, 0.97, 1.03)
_SHIFT_PX = 4
# Fraction of the square; with less in common the correlation is not meaningful.
_MIN_COMMON_FRACTION = 0.1


def features(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The features compared: (128, 128), vessels and lesions without brightness, contrast and colour.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB; an arm may have been applied.
    """
    return local_contrast(canvas, SIDE_PX, _WINDOW_PX)


def correlation(one: NDArray[np.float32], other: NDArray[np.float32], enough: float) -> float:
    """The correlation of two canvases' features where both are seen, at the best shift and scale.

    Args:
        one: (128, 128), see `features`.
        other: (128, 128).
        enough: The search ends at the first scale with this correlation.

    Returns:
        −1 to 1; 0 where too little is visible in both.
    """
    best = 0.0
    for scale in _SCALES:
        best = max(best, _at_best_shift(one, _resized(other, scale)))
        if best >= enough:
            break
    return best


def _resized(square: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    if scale == 1:
        return square
    shift = (1 - scale) * (SIDE_PX - 1) / 2
    matrix = np.array([[scale, 0, shift], [0, scale, shift]], np.float32)
    resized: NDArray[np.float32] = cv2.warpAffine(square, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    return resized


def _at_best_shift(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    inner = np.ascontiguousarray(other[_SHIFT_PX:-_SHIFT_PX, _SHIFT_PX:-_SHIFT_PX])
    matches = cv2.matchTemplate(one, inner, cv2.TM_CCORR)
    row, column = np.unravel_index(int(matches.argmax()), matches.shape)
    outer = one[row : row + inner.shape[0], column : column + inner.shape[1]]
    common = (outer != 0) & (inner != 0)
    if np.count_nonzero(common) < _MIN_COMMON_FRACTION * SIDE_PX**2:
        return 0.0
    # Local contrasts have mean 0 by construction.
    x, y = outer[common].astype(np.float64), inner[common].astype(np.float64)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))
