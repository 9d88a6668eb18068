"""Recognises DICOM by content, without pydicom; cheap enough for every file of a listing."""

import stat
import struct
from pathlib import Path

# PS3.10, 7.1: 128 bytes without meaning, then "DICM".
PREAMBLE_BYTES = 132
_MAGIC = b"DICM"
# The first element of the file meta information, its group length, in a file without preamble.
_META_FIRST = b"\x02\x00\x00\x00UL\x04\x00"
# The group that every image's data set begins with, and how many of its elements and bytes are examined.
_IDENTIFYING_GROUP = 0x0008
_FIRST_ELEMENTS = 3
_SNIFF_BYTES = 4096
# Value representations (PS3.5, table 6.2-1) that group 0008 holds.
_SHORT_VRS = frozenset({b"AE", b"CS", b"DA", b"DT", b"IS", b"LO", b"PN", b"SH", b"ST", b"TM", b"UI", b"UL", b"US"})


def looks_like_dicom(data: bytes) -> bool:
    """Whether these bytes begin a DICOM file.

    A file without preamble counts if it begins with meta information, or if its first three elements are of group
    0008, in ascending order, of even lengths and, if explicit, of known value representations. No other format that
    this package reads, and no text, begins like that.

    Args:
        data: The file, or its first 4 kB.
    """
    if data[128:PREAMBLE_BYTES] == _MAGIC or data.startswith(_META_FIRST):
        return True
    return any(_begins_data_set(data[:_SNIFF_BYTES], order, explicit) for order, explicit in _ENCODINGS)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by content; False if it is not a regular file or cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would block for ever
            return False
        with path.open("rb") as stream:
            return looks_like_dicom(stream.read(_SNIFF_BYTES))
    except OSError:
        return False


# Byte order, and whether value representations are written: the three native encodings of PS3.5, annex A.
_ENCODINGS = (("<", True), ("<", False), (">", True))


def _begins_data_set(data: bytes, order: str, explicit: bool) -> bool:
    position, previous = 0, -1
    for _ in range(_FIRST_ELEMENTS):
        if len(data) < position + 8:
            return False
        group, element = struct.unpack_from(f"{order}HH", data, position)
        if explicit:
            (length,) = struct.unpack_from(f"{order}H", data, position + 6)
            known = data[position + 4 : position + 6] in _SHORT_VRS
        else:
            (length,) = struct.unpack_from(f"{order}I", data, position + 4)
            known = True
        if not known or group != _IDENTIFYING_GROUP or element <= previous or length % 2:
            return False
        position, previous = position + 8 + length, element
    return True
