"""The EXIF orientation tag and what it does to pixels."""

import struct

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_SHORT = 3


def exif_orientation(tiff: bytes) -> int:
    """Reads tag 0x0112 from the first directory of an EXIF block.

    Args:
        tiff: The block from its byte-order mark on, without the "Exif" signature.

    Returns:
        1 to 8; 1 where the block is corrupt or has no such tag, as every viewer does.
    """
    tiff = tiff.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for number in range(entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * number)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == _SHORT and 1 <= value <= 8 else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def turns_sides(orientation: int) -> bool:
    """Whether this orientation exchanges width and height."""
    return orientation >= 5


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Applies an EXIF orientation (TIFF 6.0, Orientation; EXIF 2.32, table 6).

    Args:
        pixels: As stored, (height, width, channels).
        orientation: 1 to 8.

    Returns:
        A C-contiguous upright picture; for 5 to 8 its sides are exchanged.
    """
    if turns_sides(orientation):
        pixels = pixels.transpose(1, 0, 2)
    # Once transposed where needed, only mirror images remain.
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
