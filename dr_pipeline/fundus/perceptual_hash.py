"""A perceptual hash of the canonical canvas: copies of one photograph differ in few of its 256 bits.

The bits are the signs of low-frequency cosine coefficients (Zauner, "Implementation and benchmarking of perceptual
image hash functions", 2010) of the disc's green channel after local normalisation. The canvas already normalises
position and size; local normalisation removes brightness, contrast and vignetting. Rotating a square by 90° or
mirroring it only changes the signs and places of the coefficients. The hash of each of the eight turns therefore
follows from the bits alone, and a copy that lost its EXIF tag is found without its pixels.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2

HASH_BITS = 256
NUM_TURNS = 8

Value = TypeVar("Value", np.uint8, np.float32)

_HASH = re.compile(f"[0-9a-f]{{{HASH_BITS // 4}}}")
_SIDE_PX = 64
# Only the disc within this fraction of its radius is hashed, because the rim varies with the disc fit.
_CORE = 0.95
# A pixel is visible if its brightest channel is above this level; below it the frame was cut or nothing was lit.
_VISIBLE_LEVEL = 12
# Sigma of the Gaussian window for local mean and contrast; the floor of the contrast, in grey levels.
_WINDOW_PX = 5.0
_CONTRAST_FLOOR = 2.0
# Coefficients this close to 0 are rounding; those of a photograph are in the tens.
_ZERO = 0.01
_BLOCK = 16
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def perceptual_hash(canvas: NDArray[np.uint8]) -> str:
    """Hashes a canvas.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB, before enhancement.

    Returns:
        64 lower-case hexadecimal digits; 64 zeros if nothing is visible or the disc is one plain colour.
    """
    contrast = local_contrast(canvas, _SIDE_PX, _WINDOW_PX)
    basis = _cosines()
    coefficients = basis @ contrast @ basis.T
    rows, columns = _places()
    return np.packbits(coefficients[rows, columns] > _ZERO).tobytes().hex()


def local_contrast(canvas: NDArray[np.uint8], side_px: int, window_px: float) -> NDArray[np.float32]:
    """The downscaled green channel minus its local mean, over its local standard deviation; 0 where nothing is visible.

    Means are taken over visible pixels only (normalised convolution: Knutsson and Westin, CVPR 1993), so that neither
    the disc's rim nor the line where the frame was cut is a feature.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB.
        side_px: Side of the result.
        window_px: Sigma of the Gaussian window, px of the result.

    Returns:
        (side_px, side_px).
    """
    small = cv2.resize(canvas, (side_px, side_px), interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split(small)
    lit = cv2.compare(cv2.max(cv2.max(red, green), blue), _VISIBLE_LEVEL, cv2.CMP_GT)
    # A pixel beside an unlit one is part fundus, part surround.
    visible = (cv2.bitwise_and(cv2.erode(lit, _NEIGHBOURS), disc_mask(side_px, _CORE)) > 0).astype(np.float32)
    values = green.astype(np.float32) * visible
    weight = np.maximum(_blur(visible, window_px), 1e-3)
    deviation = values - _blur(values, window_px) / weight
    deviation *= visible
    variance = _blur(deviation * deviation, window_px) / weight
    # Fades out where at least half of the window is invisible: the mean is then one-sided and varies with the rim.
    fade = np.clip(2 * weight - 1, 0, 1)
    contrast: NDArray[np.float32] = fade * deviation / (np.sqrt(variance) + _CONTRAST_FLOOR)
    return contrast


def hash_words(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """Converts hashes to 64-bit words.

    Args:
        hashes: N hashes of 64 hexadecimal digits.

    Returns:
        (N, 4).

    Raises:
        DataError: A value is not a hash.
    """
    invalid = next((value for value in hashes if not _HASH.fullmatch(value)), None)
    if invalid is not None:
        raise DataError(
            f"not a perceptual hash of {HASH_BITS // 4} hexadecimal digits: {invalid!r}", todo="run `dvc repro`"
        )
    data = bytes.fromhex("".join(hashes))
    return np.frombuffer(data, np.uint64).reshape(len(hashes), HASH_BITS // 64)


def turn_hashes(words: NDArray[np.uint64], turn: int) -> NDArray[np.uint64]:
    """The hashes of the turned canvases.

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
    """Applies one of a square's eight rotations and reflections.

    Args:
        square: (S, S) or (S, S, 3).
        turn: 0 to 7: bit 0 flips left and right, bit 1 flips top and bottom, bit 2 then exchanges rows and columns.

    Returns:
        The same shape, contiguous.
    """
    if turn & 1:
        square = square[:, ::-1]
    if turn & 2:
        square = square[::-1]
    return np.ascontiguousarray(square.swapaxes(0, 1) if turn & 4 else square)


def inverse_turn(turn: int) -> int:
    """The inverse of a turn: itself, except that the two quarter turns are each other's inverse."""
    return {5: 6, 6: 5}.get(turn, turn)


def _blur(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return blurred


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float32]:
    """(17, side): the first rows of the cosine transform (DCT-II)."""
    frequency, place = np.arange(_BLOCK + 1)[:, None], np.arange(_SIDE_PX)[None, :] + 0.5
    return np.cos(np.pi * frequency * place / _SIDE_PX).astype(np.float32)


@lru_cache(maxsize=1)
def _places() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the 256 coefficients: the 16×16 lowest, without those constant along a side."""
    rows, columns = np.divmod(np.arange(HASH_BITS), _BLOCK)
    return rows + 1, columns + 1


@lru_cache(maxsize=NUM_TURNS)
def _turn_of_bits(turn: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """The source bit of each place, and which bits are then inverted: a flip negates odd frequencies."""
    rows, columns = _places()
    if turn & 4:
        rows, columns = columns, rows
    index = {place: bit for bit, place in enumerate(zip(*_places(), strict=True))}
    order = np.array([index[place] for place in zip(rows, columns, strict=True)])
    odd = (columns * (turn & 1) + rows * (turn >> 1 & 1)) % 2
    return order, odd.astype(np.uint8)
