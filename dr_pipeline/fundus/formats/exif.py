"""The EXIF tags that are read, orientation and camera, and the effect of the first on pixels."""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.camera import camera_name

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
MAKER_TAG, MODEL_TAG = 0x010F, 0x0110
# Types of whole numbers (TIFF 6.0, section 2) and how they are unpacked; the standard says SHORT, programs write all.
_ASCII, _MAX_TEXT_BYTES = 2, 256
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}


def exif_orientation(block: bytes) -> int:
    """Reads tag 0x0112 from the first directory of an EXIF block.

    Args:
        block: From its byte-order mark on, with or without the "Exif" signature.

    Returns:
        1 to 8; 1 if the block is corrupt or has no such tag, as in every viewer.
    """
    block = block.removeprefix(b"Exif\0\0")
    try:
        for tag, kind, order, entry in _entries(block):
            if tag == _ORIENTATION_TAG:
                (value,) = struct.unpack_from(f"{order}{_WHOLE_NUMBERS.get(kind, 'H')}", block, entry + 8)
                return int(value) if kind in _WHOLE_NUMBERS and 1 <= value <= 8 else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def exif_camera(block: bytes) -> str:
    """Reads maker and model (tags 0x010F and 0x0110) from the first directory of an EXIF block.

    Args:
        block: From its byte-order mark on, with or without the "Exif" signature.

    Returns:
        See `dr_pipeline.fundus.camera`; "" if the block is corrupt or has neither.
    """
    block = block.removeprefix(b"Exif\0\0")
    texts = {MAKER_TAG: "", MODEL_TAG: ""}
    try:
        for tag, kind, order, entry in _entries(block):
            if tag in texts and kind == _ASCII:
                (length,) = struct.unpack_from(f"{order}I", block, entry + 4)
                start = entry + 8  # four bytes or fewer stand in the entry itself
                if length > 4:
                    (start,) = struct.unpack_from(f"{order}I", block, start)
                text = block[start : start + min(length, _MAX_TEXT_BYTES)]
                texts[tag] = text.partition(b"\0")[0].decode("utf-8", "ignore")
    except struct.error:
        return ""
    return camera_name(texts[MAKER_TAG], texts[MODEL_TAG])


def _entries(block: bytes) -> Iterator[tuple[int, int, str, int]]:
    """Yields tag, type, byte order and position of each entry of the first directory; struct.error if it ends early."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return
    (directory,) = struct.unpack_from(f"{order}I", block, 4)
    (entries,) = struct.unpack_from(f"{order}H", block, directory)
    for number in range(entries):
        entry = directory + 2 + 12 * number
        tag, kind = struct.unpack_from(f"{order}HH", block, entry)
        yield tag, kind, order, entry


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
