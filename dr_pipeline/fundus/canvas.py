"""The canonical canvas: a square with the retinal disc centred at one radius, whatever the camera."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import Disc
from dr_pipeline.fundus.opencv import cv2

# Between the disc's rim and the canvas's side.
_MARGIN_PX = 1
# The widest square around a disc that is built at full resolution (0.8 GB). The largest picture that is read, 200
# megapixels, is a square of 14,142 px; only a strip or a thin slice of a circle needs more: 65,000 × 64 px, 13 GB.
_MAX_SQUARE_PX = 16_384


def disc_radius_px(canvas_px: int) -> float:
    """The disc's radius on a canvas."""
    return canvas_px / 2 - _MARGIN_PX


def to_canvas(pixels: NDArray[np.uint8], disc: Disc, canvas_px: int) -> NDArray[np.uint8]:
    """Crops the square around the disc, resizes it once and blackens everything outside the disc.

    Both sides are scaled by one factor, so a circle stays a circle. Shrinking averages (INTER_AREA), which keeps
    small lesions; a disc smaller than the canvas is enlarged with INTER_CUBIC. A square wider than `_MAX_SQUARE_PX`
    is avoided by shrinking the picture first.

    Args:
        pixels: (height, width, 3) RGB.
        disc: In pixels of `pixels`.
        canvas_px: The canvas's side.

    Returns:
        (canvas_px, canvas_px, 3) RGB.
    """
    pixels, disc = _within_memory(pixels, disc)
    half = disc.radius * canvas_px / (2 * disc_radius_px(canvas_px))
    side = max(1, round(2 * half))
    square = _crop(pixels, round(disc.x - side / 2), round(disc.y - side / 2), side)
    square = _resize_square(square, canvas_px)
    return cv2.bitwise_and(square, square, mask=disc_mask(canvas_px))  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def disc_mask(canvas_px: int, radius_fraction: float = 1.0) -> NDArray[np.uint8]:
    """(canvas_px, canvas_px), read-only: 255 where a pixel's centre lies within this fraction of the radius, else 0."""
    offset = np.arange(canvas_px) + 0.5 - canvas_px / 2
    inside = offset[None, :] ** 2 + offset[:, None] ** 2 <= (radius_fraction * disc_radius_px(canvas_px)) ** 2
    mask: NDArray[np.uint8] = inside.astype(np.uint8) * np.uint8(255)
    mask.flags.writeable = False
    return mask


def model_input(canvas: NDArray[np.uint8], input_px: int) -> NDArray[np.uint8]:
    """Resizes a canvas to a network's input: the one function for training and serving.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB.
        input_px: The network's input side.

    Returns:
        (input_px, input_px, 3) RGB, C-contiguous: the canvas itself if the sides are equal, else resized with
        INTER_AREA (smaller) or INTER_CUBIC (larger).
    """
    return np.ascontiguousarray(_resize_square(canvas, input_px))


def _resize_square(square: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    if len(square) == side_px:
        return square
    method = cv2.INTER_AREA if len(square) > side_px else cv2.INTER_CUBIC
    resized: NDArray[np.uint8] = cv2.resize(square, (side_px, side_px), interpolation=method)
    return resized


def _within_memory(pixels: NDArray[np.uint8], disc: Disc) -> tuple[NDArray[np.uint8], Disc]:
    """Picture and disc, shrunk by one factor if the disc's square would exceed `_MAX_SQUARE_PX`."""
    factor = _MAX_SQUARE_PX / (2 * disc.radius)
    if factor >= 1:
        return pixels, disc
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), disc.scaled(factor)


def _crop(pixels: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """The square at (left, top), black where it leaves the picture."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((side, side, 3), np.uint8)
    inner = pixels[y0:y1, x0:x1]
    if inner.shape[:2] == (side, side):
        return inner
    padded: NDArray[np.uint8] = cv2.copyMakeBorder(
        inner, y0 - top, top + side - y1, x0 - left, left + side - x1, cv2.BORDER_CONSTANT
    )
    return padded
