"""Recognises a photograph's format by its first bytes, never by its name.

The same answer decides what intake lists and what scoring decodes.
"""

from dr_pipeline.fundus.dicom.recognise import looks_like_dicom
from dr_pipeline.fundus.formats import jpeg, png

# Enough for every format: DICOM without a preamble is recognised by its first three elements.
HEAD_BYTES = 4096
# TIFF and BigTIFF, little- and big-endian (TIFF 6.0; BigTIFF is version 43).
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def recognise(head: bytes) -> str | None:
    """The format that these bytes begin.

    Args:
        head: The file, or its first `HEAD_BYTES`.

    Returns:
        "jpeg", "png", "tiff", "bmp", "webp" or "dicom"; None for everything else.
    """
    if looks_like_dicom(head):
        return "dicom"
    if head.startswith(jpeg.SIGNATURE):
        return "jpeg"
    if head.startswith(png.SIGNATURE):
        return "png"
    if head.startswith(_TIFF):
        return "tiff"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if _is_bmp(head):
        return "bmp"
    return None


def _is_bmp(head: bytes) -> bool:
    """Two letters alone would take every text that begins with BM: the size of the second header is checked too."""
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES


# BITMAPCOREHEADER (OS/2 1), OS/2 2 (short and full), BITMAPINFOHEADER, its versions 2 to 5.
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
