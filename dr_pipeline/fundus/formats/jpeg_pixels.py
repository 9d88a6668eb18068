"""Decodes JPEG by libjpeg-turbo, and takes its warnings as the evidence that they are.

libjpeg goes on after damage: it warns, and returns a whole picture whose rest is grey, displaced or of other colours.
OpenCV prints the warning and drops it; simplejpeg raises it. Both hold libjpeg-turbo with the same settings, and give
the same pixels at full, 1/2 and 1/4 size.
"""

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.jpeg import END_OF_IMAGE, JpegFile
from dr_pipeline.fundus.formats.jpeg_colour import is_ycbcr, with_declared_colour
from dr_pipeline.fundus.formats.jpeg_scans import doubt_of_scans

# Warnings about a mark beside the picture (libjpeg, jerror.h): they leave every pixel as it is.
_OF_METADATA = ("unknown JFIF revision", "Unknown Adobe color transform", "bad ICC marker")
_EXTRA_BEFORE_END = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_UNKNOWN_SAMPLING = "Could not determine subsampling"


def decode_jpeg(data: bytes, file: JpegFile, scale: int) -> tuple[NDArray[np.uint8], str]:
    """Decodes the file's first picture.

    Args:
        data: The file.
        file: The result of `read_jpeg`.
        scale: 1, 2 or 4: how many of the original's pixels give one of the result.

    Returns:
        (height / scale, width / scale, 3) RGB as stored, sides rounded up; and why damage must be suspected, or "".

    Raises:
        ImageError: The decoder found damage, or cannot decode it.
    """
    picture = data[: file.end]
    rows = -(-file.header.height // scale)
    try:
        return _decode(picture, rows, scale, strict=True), _doubt(picture, file)
    except ValueError as error:
        warning = str(error)
    if any(text in warning for text in _OF_METADATA):
        # Without the mark; should libjpeg have another warning behind this one, it is raised now.
        unmarked = with_declared_colour(picture, ycbcr=is_ycbcr(picture, default=True))
        return _decode_or_refuse(unmarked, rows, scale, strict=True), _doubt(picture, file)
    extra = _EXTRA_BEFORE_END.search(warning)
    if extra is None:
        raise _refusal(warning)
    # Some cameras pad a scan, so that the picture is whole; the rest of a damaged scan looks like other data.
    padding = picture[: -len(END_OF_IMAGE)][-int(extra[1]) :]
    doubt = "" if not padding.strip(padding[:1]) and padding[:1] in b"\0\xff" else "bytes are left over in its scan"
    return _decode_or_refuse(picture, rows, scale, strict=False), doubt


def _doubt(picture: bytes, file: JpegFile) -> str:
    return doubt_of_scans(picture) if file.progressive else ""


def _decode_or_refuse(picture: bytes, rows: int, scale: int, *, strict: bool) -> NDArray[np.uint8]:
    try:
        return _decode(picture, rows, scale, strict=strict)
    except ValueError as error:
        raise _refusal(str(error)) from None


def _decode(picture: bytes, rows: int, scale: int, *, strict: bool) -> NDArray[np.uint8]:
    try:
        # Of libjpeg's sizes the smallest that has at least so many rows and is at least so much smaller.
        smaller = {"min_height": rows, "min_factor": scale} if scale > 1 else {}
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(picture, "RGB", strict=strict, **smaller)
    except MemoryError as error:
        raise ImageError(f"cannot be decoded: {error}") from None
    return pixels


def _refusal(warning: str) -> ImageError:
    if _UNKNOWN_SAMPLING in warning:
        return ImageError("JPEG of an unusual chroma sampling is not read", todo="save the picture again")
    return ImageError(f"damaged or truncated JPEG file (libjpeg: {warning})", todo="copy the file again")
