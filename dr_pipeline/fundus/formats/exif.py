"""The EXIF orientation tag, and its effect on pixels."""

import struct

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
# Types of whole numbers (TIFF 6.0, section 2) and how they are unpacked; the standard says SHORT, programs write all.
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}


def exif_orientation(block: bytes) -> int:
    """Reads tag 0x0112 from the first directory of an EXIF block.

    Args:
        block: From its byte-order mark on, with or without the "Exif" signature.

    Returns:
        1 to 8; 1 if the block is corrupt or has no such tag, as in every viewer.
    """
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, directory)
        for number in range(entries):
            entry = directory + 2 + 12 * number
            tag, kind = struct.unpack_from(f"{order}HH", block, entry)
            if tag == _ORIENTATION_TAG:
                (value,) = struct.unpack_from(f"{order}{_WHOLE_NUMBERS.get(kind, 'H')}", block, entry + 8)
                return int(value) if kind in _WHOLE_NUMBERS and 1 <= value <= 8 else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Whether this orientation exchanges width and height."""
    return orientation >= 5


def apply_orientation(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Makes a stored picture upright (TIFF 6.0, Orientation; EXIF 2.32, table 6).

    Args:
        pixels: As stored, (height, width, channels).
        orientation: 1 to 8.

    Returns:
        The upright picture, C-contiguous; for 5 to 8 its sides are exchanged.
    """
    if swaps_sides(orientation):
        pixels = pixels.transpose(1, 0, 2)
    # After the transpose only flips remain.
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
