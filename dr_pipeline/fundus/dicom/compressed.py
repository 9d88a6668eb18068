"""DICOM's JPEG streams: their colour space, and decoding by libjpeg (8-bit JPEG) or gdcm (everything else).

DICOM headers often state RGB for a stream that is YCbCr, because a compressor did not update them; read by the header
alone the picture would come out green. The stream's own marks therefore take precedence, as in dcm4che and pydicom,
see `formats.jpeg_colour`. Without such marks the header's photometric interpretation counts.

pydicom's decoders are not used here. Its gdcm plug-in runs in this process, which a JPEG-LS stream that contradicts its
header kills (see `gdcm_worker`), and refuses JPEG extended of 12 bits; its other plug-ins need further packages.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.codec import J2K_START, JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_FRAME
from dr_pipeline.fundus.dicom.gdcm_worker import gdcm_decode
from dr_pipeline.fundus.dicom.image import DicomImage
from dr_pipeline.fundus.formats.header import Header, truncated
from dr_pipeline.fundus.formats.jpeg import END_OF_IMAGE, START_OF_FRAME, START_OF_SCAN, segments
from dr_pipeline.fundus.formats.jpeg_colour import is_ycbcr, with_declared_colour

Samples = NDArray[np.uint8] | NDArray[np.uint16]

_TILE_PART = 0xFF90


def libjpeg_stream(image: DicomImage) -> bytes:
    """The JPEG file for libjpeg, its colour space declared; b"" if another decoder is needed.

    Raises:
        ImageError: The stream is truncated, or contradicts the header.
    """
    if image.syntax not in (JPEG_BASELINE, JPEG_EXTENDED) or image.photometric == "PALETTE COLOR":
        return b""
    stream_header = _jpeg_header(image.pixels)
    if stream_header.bits != 8:
        return b""
    _require_agreement(image, stream_header)
    ycbcr = image.samples == 3 and is_ycbcr(image.pixels, default=image.photometric.startswith("YBR"))
    return with_declared_colour(image.pixels, ycbcr=ycbcr)


def decompress(image: DicomImage) -> tuple[Samples, bool]:
    """Decodes a stream with gdcm.

    Returns:
        (height, width) or (height, width, 3) samples of the stream's own bits, and whether they are YCbCr.

    Raises:
        ImageError: The stream is truncated or corrupt, or contradicts the header.
    """
    ycbcr = image.photometric.startswith("YBR")
    if image.syntax in JPEG_2000:
        stream, stream_header = _jpeg2000_codestream(image.pixels)
        # The decoder undoes the codestream's own component transform (T.800, annex G).
        ycbcr = image.photometric.startswith("YBR_FULL")
    else:
        stream, stream_header = image.pixels, _jpeg_header(image.pixels)
    bits = stream_header.bits
    if image.syntax == JPEG_EXTENDED:
        bits = min(bits, 12)  # gdcm's own encoder writes 16, but only 8 and 12 exist (T.81, table B.2)
        ycbcr = image.samples == 3 and is_ycbcr(stream, default=image.photometric.startswith("YBR"))
    _require_agreement(image, stream_header)
    allocated = 8 if bits <= 8 else 16
    frame: dict[str, int | str] = {
        "syntax": image.syntax,
        "photometric": image.photometric,
        "width": image.header.width,
        "height": image.header.height,
        "samples": image.samples,
        "allocated": allocated,
        "stored": bits,
    }
    decoded = gdcm_decode(stream, frame)
    if allocated == 8:
        return np.frombuffer(decoded, np.uint8).reshape(image.shape), ycbcr
    return np.frombuffer(decoded, np.uint16).reshape(image.shape), ycbcr


def _require_agreement(image: DicomImage, stream: Header) -> None:
    """Raises ImageError if the stream's sides or components differ from the DICOM header's."""
    header = image.header
    if (stream.width, stream.height, stream.channels) != (header.width, header.height, image.samples):
        raise ImageError(
            f"DICOM whose header says {header.width}×{header.height} px of {image.samples} samples and whose "
            f"compressed picture says {stream.width}×{stream.height} px of {stream.channels}"
        )
    if not 1 <= stream.bits <= 16:
        raise ImageError(f"DICOM whose compressed picture has {stream.bits} bits a sample is not read")


def _jpeg_header(stream: bytes) -> Header:
    """Sides, components and bits of a JPEG or JPEG-LS stream, which must be complete.

    Raises:
        ImageError: The stream ends early, or is no JPEG.
    """
    if not stream.startswith(b"\xff\xd8\xff"):
        raise ImageError("corrupt DICOM file: its pixels are no JPEG")
    header = None
    for marker, body, end in segments(stream):
        if (marker in START_OF_FRAME or marker == JPEG_LS_FRAME) and len(body) >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
            header = Header("jpeg", width, height, components, bits, alpha=False, orientation=1)
        elif marker == START_OF_SCAN and stream.rfind(END_OF_IMAGE, end) < 0:
            raise truncated("JPEG")
    if header is None:
        raise ImageError("corrupt DICOM file: its JPEG holds no frame")
    return header


def _jpeg2000_codestream(stream: bytes) -> tuple[bytes, Header]:
    """The codestream, extracted from the boxes of a JP2 file if necessary, and its header.

    Raises:
        ImageError: There is none, it ends early, or its components differ in size or depth.
    """
    start = stream.find(J2K_START, 0, 4096)
    if start < 0 or len(stream) < start + 42:
        raise ImageError("corrupt DICOM file: its pixels are no JPEG 2000 codestream")
    x1, y1, x0, y0 = struct.unpack_from(">4I", stream, start + 8)
    (components,) = struct.unpack_from(">H", stream, start + 40)
    kinds = {stream[start + 42 + 3 * number : start + 45 + 3 * number] for number in range(min(components, 4))}
    kind = kinds.pop() if len(kinds) == 1 else b""
    if kind[1:] != b"\1\1" or kind[0] & 0x80:
        raise ImageError("JPEG 2000 whose components differ, are subsampled or signed is not read")
    header = Header("jpeg2000", x1 - x0, y1 - y0, components, kind[0] + 1, alpha=False, orientation=1)
    return stream[start : _end_of_codestream(stream, start + 2)], header


def _end_of_codestream(stream: bytes, position: int) -> int:
    """Follows the main header's segments, then the tile-parts' lengths, to the end marker (T.800, A.2 to A.4)."""
    while len(stream) >= position + 4 and stream[position : position + 2] != END_OF_IMAGE:
        marker, length = struct.unpack_from(">HH", stream, position)
        if marker != _TILE_PART:
            position += 2 + length
        elif len(stream) >= position + 12:
            (part,) = struct.unpack_from(">I", stream, position + 6)
            # 0: the last tile-part, up to the end marker.
            position = stream.rfind(END_OF_IMAGE, position) if part == 0 else position + max(part, 12)
        else:
            break
        if position < 0:
            break
    if position < 0 or stream[position : position + 2] != END_OF_IMAGE:
        raise truncated("JPEG 2000")
    return position + 2
