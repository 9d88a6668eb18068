"""Bitmaps (BMP) of Windows and OS/2: their header, and whether all rows are there.

The file's own size field is not relied on: many programs write it two bytes off, or zero.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.exif import UPRIGHT
from dr_pipeline.fundus.formats.header import Header, check_size, truncated

# Sizes of the second header: BITMAPCOREHEADER (OS/2 1), BITMAPINFOHEADER, its versions 2 and 3, OS/2 2, versions 4, 5.
_OS2, _HEADER_SIZES = 12, frozenset({12, 40, 52, 56, 64, 108, 124})
_FILE_HEADER_BYTES = 14
_UNCOMPRESSED, _RLE, _BITFIELDS = 0, frozenset({1, 2}), 3
_MASKS_AT = 54
_MASKS_32 = (0xFF0000, 0xFF00, 0xFF)
_MASKS_555, _MASKS_565 = (0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)
_DEPTHS = frozenset({1, 4, 8, 16, 24, 32})


def read_bmp_header(data: bytes) -> Header:
    """Reads the headers; a fourth channel is padding by convention, not alpha.

    Raises:
        ImageError: The rows do not fit into the file, or their layout is one that OpenCV does not read.
    """
    if len(data) < _FILE_HEADER_BYTES + _OS2:
        raise truncated("BMP")
    pixels_at, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADER_SIZES:
        raise ImageError(f"BMP with a header of {size} bytes is not read", todo="export the photograph as PNG")
    if len(data) < _FILE_HEADER_BYTES + size:
        raise truncated("BMP")
    if size == _OS2:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression, packed = _UNCOMPRESSED, 0
    else:
        width, height, _, bits, compression, packed = struct.unpack_from("<iiHHII", data, 18)
    header = Header("bmp", abs(width), abs(height), 3, min(bits, 8), alpha=False, orientation=UPRIGHT)
    check_size(header)
    if bits not in _DEPTHS or compression not in {_UNCOMPRESSED, *_RLE, _BITFIELDS}:
        raise ImageError(f"BMP of {bits} bits and compression {compression} is not read", todo="export it as PNG")
    if compression == _BITFIELDS and _masks(data) not in ({_MASKS_32} if bits == 32 else {_MASKS_555, _MASKS_565}):
        raise ImageError("BMP with colours at unusual bits is not read", todo="export it as PNG")
    rows = packed if compression in _RLE else -(-header.width * bits // 32) * 4 * header.height
    if len(data) < pixels_at + rows:
        raise truncated("BMP")
    return header


def with_grey_palette(data: bytes) -> bytes:
    """The same file; each colour of its palette, where it has one, is its index as grey, black for 0.

    Args:
        data: The file, whose header was read.
    """
    pixels_at, size = struct.unpack_from("<II", data, 10)
    (bits,) = struct.unpack_from("<H", data, 24 if size == _OS2 else 28)
    if bits > 8:
        return data
    start, entry = _FILE_HEADER_BYTES + size, 3 if size == _OS2 else 4
    count = min(1 << bits, (pixels_at - start) // entry)
    grey = b"".join(bytes([index] * 3).ljust(entry, b"\0") for index in range(count))
    return data[:start] + grey + data[start + len(grey) :]


def expand_sixteen_bits(data: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scales the 5 or 6 bits of a 16-bit bitmap's colours to 8, as Pillow does; OpenCV leaves the low bits zero.

    Args:
        data: The file, whose header was read.
        pixels: As OpenCV decodes it, (height, width, 3).
    """
    size, bits = struct.unpack_from("<I", data, 14)[0], struct.unpack_from("<H", data, 28)[0]
    if size == _OS2 or bits != 16:
        return pixels
    five = np.arange(256) // 8 * 255 // 31
    deep_green = struct.unpack_from("<I", data, 30)[0] == _BITFIELDS and _masks(data) == _MASKS_565
    green = np.arange(256) // 4 * 255 // 63 if deep_green else five
    expanded = np.stack([five[pixels[..., 0]], green[pixels[..., 1]], five[pixels[..., 2]]], axis=2)
    return expanded.astype(np.uint8)


def _masks(data: bytes) -> tuple[int, int, int]:
    """Which bits hold red, green and blue; after BITMAPINFOHEADER, or the first fields of its later versions."""
    if len(data) < _MASKS_AT + 12:
        raise truncated("BMP")
    red, green, blue = struct.unpack_from("<III", data, _MASKS_AT)
    return red, green, blue
