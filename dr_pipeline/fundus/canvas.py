"""The canonical canvas: a square with the retinal disc centred at one radius, whatever the camera."""

from dataclasses import astuple, dataclass
from functools import lru_cache
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import BOUNDING_BOX, CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2

# Between the disc's rim and the canvas's side.
_MARGIN_PX = 1
# The widest square around a disc that is built at full resolution (0.8 GB). The largest picture that is read, 200
# megapixels, is a square of 14,142 px; only a strip or a thin slice of a circle needs more: 65,000 × 64 px, 13 GB.
_MAX_SQUARE_PX = 16_384
# Interpolated to less than twice the result's side, a dot of 2 px would lose contrast.
_MIN_MULTIPLE = 2


def disc_radius_px(canvas_px: int) -> float:
    """The disc's radius on a canvas."""
    return canvas_px / 2 - _MARGIN_PX


@dataclass(frozen=True)
class Window:
    """The rectangle of a picture that a canvas shows, in the picture's pixels; it may reach beyond the picture.

    Coordinates are continuous: (0, 0) is the outer corner of the first pixel.
    """

    left: float
    top: float
    width: float
    height: float

    def scaled(self, factor: float) -> "Window":
        """The same rectangle of the picture that is `factor` times as large."""
        return Window(self.left * factor, self.top * factor, self.width * factor, self.height * factor)


def canvas_window(disc: Disc, canvas_px: int, *, restore_aspect: bool = True) -> Window:
    """The rectangle that `to_canvas` resizes to the canvas: whole pixels of the picture that `disc` is located in."""
    restored = restore_aspect and disc.fit == CIRCLE
    halves = (disc.half_width, disc.half_height) if restored else (disc.radius, disc.radius)
    width, height = (max(1, round(half * canvas_px / disc_radius_px(canvas_px))) for half in halves)
    return Window(round(disc.x - width / 2), round(disc.y - height / 2), width, height)


def to_canvas(
    pixels: NDArray[np.uint8], disc: Disc, canvas_px: int, *, restore_aspect: bool = True
) -> NDArray[np.uint8]:
    """Crops the square around the disc, resizes it once and blackens everything outside the field.

    Both sides are scaled by one factor, so a circle stays a circle; an ellipse becomes one if `restore_aspect`.
    Shrinking averages, which keeps small lesions; a disc smaller than the canvas is enlarged with
    INTER_CUBIC. A square wider than `_MAX_SQUARE_PX` is avoided by shrinking the picture first.

    Args:
        pixels: (height, width, 3) RGB.
        disc: In pixels of `pixels`.
        canvas_px: The canvas's side.
        restore_aspect: Whether the shorter axis of an ellipse is enlarged to the longer one.

    Returns:
        (canvas_px, canvas_px, 3) RGB.
    """
    pixels, disc = _within_memory(pixels, disc)
    restored = restore_aspect and disc.fit == CIRCLE
    window = canvas_window(disc, canvas_px, restore_aspect=restore_aspect)
    left, top, width, height = (int(side) for side in astuple(window))
    if min(width, height) >= _MIN_MULTIPLE * canvas_px:
        canvas = _shrink(pixels, left, top, width, height, canvas_px, canvas_px)
    else:
        canvas = _resize(_crop(pixels, left, top, width, height), canvas_px)
    mask = disc_mask(canvas_px) if restored or disc.aspect == 1 else _field_mask(disc, canvas_px)
    return cv2.bitwise_and(canvas, canvas, mask=mask)  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def disc_mask(canvas_px: int, radius_fraction: float = 1.0) -> NDArray[np.uint8]:
    """(canvas_px, canvas_px), read-only: 255 where a pixel's centre lies within this fraction of the radius, else 0."""
    offset = np.arange(canvas_px) + 0.5 - canvas_px / 2
    inside = offset[None, :] ** 2 + offset[:, None] ** 2 <= (radius_fraction * disc_radius_px(canvas_px)) ** 2
    mask: NDArray[np.uint8] = inside.astype(np.uint8) * np.uint8(255)
    mask.flags.writeable = False
    return mask


def _field_mask(disc: Disc, canvas_px: int) -> NDArray[np.uint8]:
    """(canvas_px, canvas_px): 255 on the ellipse or box, as far as it lies on the canvas's disc."""
    factor = disc_radius_px(canvas_px) / disc.radius
    offset = np.abs(np.arange(canvas_px) + 0.5 - canvas_px / 2)
    across, down = offset[None, :] / (disc.half_width * factor), offset[:, None] / (disc.half_height * factor)
    inside = (across <= 1) & (down <= 1) if disc.fit == BOUNDING_BOX else across**2 + down**2 <= 1
    mask: NDArray[np.uint8] = disc_mask(canvas_px) * inside.astype(np.uint8)
    return mask


def model_input(canvas: NDArray[np.uint8], input_px: int) -> NDArray[np.uint8]:
    """Resizes a canvas to a network's input: the one function for training and serving.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB.
        input_px: The network's input side.

    Returns:
        (input_px, input_px, 3) RGB, C-contiguous: the canvas itself if the sides are equal, else averaged (smaller) or
        resized with INTER_CUBIC (larger).
    """
    return np.ascontiguousarray(_resize(canvas, input_px))


def _resize(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resizes to a square: first the sides that are too long are averaged, then those too short are interpolated."""
    height, width = picture.shape[:2]
    picture = _shrink(picture, 0, 0, width, height, min(width, side_px), min(height, side_px))
    if picture.shape[:2] != (side_px, side_px):
        picture = cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return picture


def _shrink(
    pixels: NDArray[np.uint8], left: int, top: int, width: int, height: int, new_width: int, new_height: int
) -> NDArray[np.uint8]:
    """Averages the rectangle at (left, top) to at most its own size.

    INTER_AREA by a fraction takes ten times as long as halving. A rectangle of at least twice the result's sides is
    therefore interpolated to 2, 4, 8, … times each, to the most that it holds, which passes over no pixel, and then
    halved. The contrast of dots of 2 to 5 px is that of INTER_AREA alone, wherever they lie.
    """
    across, down = width // new_width, height // new_height
    if min(across, down) >= _MIN_MULTIPLE:
        wide, high = (side << times.bit_length() - 1 for side, times in ((new_width, across), (new_height, down)))
        picture = _interpolate(pixels, left, top, width, height, wide, high)
        while picture.shape[1] > new_width and picture.shape[0] > new_height:
            halves = (picture.shape[1] // 2, picture.shape[0] // 2)
            picture = cv2.resize(picture, halves, interpolation=cv2.INTER_AREA)
    else:
        picture = _crop(pixels, left, top, width, height)
    if picture.shape[:2] != (new_height, new_width):
        picture = cv2.resize(picture, (new_width, new_height), interpolation=cv2.INTER_AREA)
    return picture


def _interpolate(
    pixels: NDArray[np.uint8], left: int, top: int, width: int, height: int, wide: int, high: int
) -> NDArray[np.uint8]:
    """The rectangle at (left, top), resized to (high, wide), black where it leaves the picture.

    Only what lies in the picture is resized, from and to whole pixels; that displaces it by half a pixel of the picture
    at most.
    """
    if min(left, top) >= 0 and left + width <= pixels.shape[1] and top + height <= pixels.shape[0]:
        inside = pixels[top : top + height, left : left + width]
        return cv2.resize(inside, (wide, high), interpolation=cv2.INTER_LINEAR)  # type: ignore[no-any-return]
    columns, across = _visible(left, width, wide, pixels.shape[1])
    rows, down = _visible(top, height, high, pixels.shape[0])
    result = np.zeros((high, wide, 3), np.uint8)
    shown = result[down, across]
    if shown.size:
        cv2.resize(pixels[rows, columns], shown.shape[1::-1], dst=shown, interpolation=cv2.INTER_LINEAR)
    return result


def _visible(begin: int, length: int, new_length: int, end: int) -> tuple[slice, slice]:
    """Which pixels of the picture, 0 … `end`, the resized ones from `begin` on show, and which these are."""
    factor = length / new_length
    first, last = max(0, ceil(-begin / factor)), min(new_length, floor((end - begin) / factor))
    if last <= first and max(0, begin) < min(end, begin + length):  # thinner than one resized pixel: it fills one
        first = min(first, new_length - 1)
        return slice(max(0, begin), min(end, begin + length)), slice(first, first + 1)
    shown = (floor(begin + edge * factor + 0.5) for edge in (first, last))
    return slice(*shown), slice(first, max(first, last))


def _within_memory(pixels: NDArray[np.uint8], disc: Disc) -> tuple[NDArray[np.uint8], Disc]:
    """Picture and disc, shrunk by one factor if the disc's square would exceed `_MAX_SQUARE_PX`."""
    factor = _MAX_SQUARE_PX / (2 * disc.radius)
    if factor >= 1:
        return pixels, disc
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), disc.scaled(factor)


def _crop(pixels: NDArray[np.uint8], left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
    """The rectangle at (left, top), black where it leaves the picture."""
    right, bottom = left + width, top + height
    if (left, top, width, height) == (0, 0, pixels.shape[1], pixels.shape[0]):
        return pixels
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, pixels.shape[1]), min(bottom, pixels.shape[0])
    if x1 <= x0 or y1 <= y0:
        return np.zeros((height, width, 3), np.uint8)
    inner = pixels[y0:y1, x0:x1]
    if inner.shape[:2] == (height, width):
        return inner
    padded: NDArray[np.uint8] = cv2.copyMakeBorder(
        inner, y0 - top, bottom - y1, x0 - left, right - x1, cv2.BORDER_CONSTANT
    )
    return padded
