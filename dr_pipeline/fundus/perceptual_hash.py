"""A perceptual hash of the canonical canvas: copies of one photograph differ in few of its 256 bits.

The hash is the signs of low-frequency cosine coefficients (Zauner, "Implementation and benchmarking of perceptual
image hash functions", 2010) of the disc's green channel after local normalisation. The canvas has taken position
and size out already; the normalisation takes out brightness, contrast and vignetting. A cosine coefficient
only changes its sign or its place where a square is turned by 90° or mirrored, so the hash of each of the eight turns
follows from the bits alone: a copy that lost its EXIF tag is found without its pixels.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.opencv import cv2

HASH_BITS = 256
NUM_TURNS = 8

Value = TypeVar("Value", np.uint8, np.float32)

_HASH = re.compile(f"[0-9a-f]{{{HASH_BITS // 4}}}")
_SIDE_PX = 64
# Only the disc within this share of its radius is looked at: the rim moves with the disc's fit.
_CORE = 0.95
# A pixel is seen where its brightest channel is above this level; below it the frame was cut or nothing was lit.
_SEEN_LEVEL = 12
# Deviation of the Gaussian window over which mean and contrast are taken; the floor of the contrast, in grey levels.
_WINDOW_PX = 5.0
_CONTRAST_FLOOR = 2.0
# Coefficients this near to 0 come from rounding; those of a photograph are in the tens.
_ZERO = 0.01
_BLOCK = 16
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def perceptual_hash(canvas: NDArray[np.uint8]) -> str:
    """Hashes a canvas.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB, before an arm was applied.

    Returns:
        64 lower-case hexadecimal digits; 64 zeros where nothing is lit or the disc is one plain colour.
    """
    contrast = local_contrast(canvas, _SIDE_PX, _WINDOW_PX)
    basis = _cosines()
    coefficients = basis @ contrast @ basis.T
    rows, columns = _places()
    return np.packbits(coefficients[rows, columns] > _ZERO).tobytes().hex()


def local_contrast(canvas: NDArray[np.uint8], side_px: int, window_px: float) -> NDArray[np.float32]:
    """The green channel, shrunk, less its local mean and over its local deviation; 0 where nothing is seen.

    Means are taken over seen pixels only (normalised convolution: Knutsson and Westin, CVPR 1993), so that neither the
    disc's rim nor the line where the frame was cut is a feature.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB.
        side_px: Of the result.
        window_px: Deviation of the Gaussian window over which mean and deviation are taken, px of the result.

    Returns:
        (side_px, side_px).
    """
    small = cv2.resize(canvas, (side_px, side_px), interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split(small)
    lit = cv2.compare(cv2.max(cv2.max(red, green), blue), _SEEN_LEVEL, cv2.CMP_GT)
    # A pixel beside the unlit is part fundus, part surround.
    seen = (cv2.bitwise_and(cv2.erode(lit, _NEIGHBOURS), _core_mask(side_px)) > 0).astype(np.float32)
    values = green.astype(np.float32) * seen
    weight = np.maximum(_blur(seen, window_px), 1e-3)
    deviation = values - _blur(values, window_px) / weight
    deviation *= seen
    variance = _blur(deviation * deviation, window_px) / weight
    # Fades out where half of the window or more is unseen: there the mean is of one side only, and moves with the rim.
    fade = np.clip(2 * weight - 1, 0, 1)
    contrast: NDArray[np.float32] = fade * deviation / (np.sqrt(variance) + _CONTRAST_FLOOR)
    return contrast


def hash_words(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """The hashes as numbers.

    Args:
        hashes: N hashes of 64 hexadecimal digits.

    Returns:
        (N, 4).

    Raises:
        DataError: One of them is no hash.
    """
    wrong = next((value for value in hashes if not _HASH.fullmatch(value)), None)
    if wrong is not None:
        raise DataError(
            f"not a perceptual hash of {HASH_BITS // 4} hexadecimal digits: {wrong!r}", todo="make the canvases anew"
        )
    data = bytes.fromhex("".join(hashes))
    return np.frombuffer(data, np.uint64).reshape(len(hashes), HASH_BITS // 64)


def turned(words: NDArray[np.uint64], turn: int) -> NDArray[np.uint64]:
    """The hashes that the turned canvases would have.

    Args:
        words: (N, 4), see `hash_words`.
        turn: 0 to 7, see `turn_square`.

    Returns:
        (N, 4).
    """
    order, flips = _turn_of_bits(turn)
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1)
    return np.ascontiguousarray(np.packbits(bits[:, order] ^ flips, axis=1)).view(np.uint64)


def turn_square(square: NDArray[Value], turn: int) -> NDArray[Value]:
    """One of a square's eight turns and mirrorings.

    Args:
        square: (S, S) or (S, S, 3).
        turn: 0 to 7: bit 0 mirrors left and right, bit 1 mirrors top and bottom, bit 2 then exchanges rows and columns.

    Returns:
        The same shape, contiguous.
    """
    if turn & 1:
        square = square[:, ::-1]
    if turn & 2:
        square = square[::-1]
    return np.ascontiguousarray(square.swapaxes(0, 1) if turn & 4 else square)


def inverse_turn(turn: int) -> int:
    """The turn that undoes a turn: itself, but for the two quarter turns, which undo each other."""
    return {5: 6, 6: 5}.get(turn, turn)


def _blur(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return blurred


@lru_cache(maxsize=4)
def _core_mask(side_px: int) -> NDArray[np.uint8]:
    offset = np.arange(side_px) + 0.5 - side_px / 2
    inside = offset[None, :] ** 2 + offset[:, None] ** 2 <= (_CORE * disc_radius_px(side_px)) ** 2
    mask: NDArray[np.uint8] = inside.astype(np.uint8) * np.uint8(255)
    return mask


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float32]:
    """(17, side): the cosine transform's (DCT-II) first rows."""
    frequency, place = np.arange(_BLOCK + 1)[:, None], np.arange(_SIDE_PX)[None, :] + 0.5
    return np.cos(np.pi * frequency * place / _SIDE_PX).astype(np.float32)


@lru_cache(maxsize=1)
def _places() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the 256 coefficients: the 16×16 lowest but for those constant along a side."""
    rows, columns = np.divmod(np.arange(HASH_BITS), _BLOCK)
    return rows + 1, columns + 1


@lru_cache(maxsize=NUM_TURNS)
def _turn_of_bits(turn: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Which bit comes to each place, and which bits are then inverted: mirroring negates odd frequencies."""
    rows, columns = _places()
    if turn & 4:
        rows, columns = columns, rows
    index = {place: bit for bit, place in enumerate(zip(*_places(), strict=True))}
    order = np.array([index[place] for place in zip(rows, columns, strict=True)])
    odd = (columns * (turn & 1) + rows * (turn >> 1 & 1)) % 2
    return order, odd.astype(np.uint8)
