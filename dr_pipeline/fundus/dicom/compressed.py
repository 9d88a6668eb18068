"""DICOM's compressed pixels: the JPEG that libjpeg decodes at the size wanted, and what gdcm and pydicom decode."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.gdcm_worker import gdcm_decode
from dr_pipeline.fundus.dicom.image import JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED, RLE, Picture
from dr_pipeline.fundus.dicom.jpeg_streams import (
    jpeg2000_codestream,
    jpeg_is_ycbcr,
    jpeg_stream_header,
    with_declared_colour,
)
from dr_pipeline.fundus.formats.header import Header

Samples = NDArray[np.uint8] | NDArray[np.uint16]


def libjpeg_stream(picture: Picture) -> bytes:
    """The JPEG file that libjpeg is to decode, its colour space declared; b"" where gdcm or numpy decode.

    Raises:
        ImageError: The stream is truncated, or contradicts the header.
    """
    if picture.syntax not in (JPEG_BASELINE, JPEG_EXTENDED) or picture.photometric == "PALETTE COLOR":
        return b""
    stream = picture.pixels
    found = jpeg_stream_header(stream)
    if found.bits != 8:
        return b""
    _refuse_contradiction(picture, found)
    ycbcr = picture.samples == 3 and jpeg_is_ycbcr(stream, picture.photometric)
    return with_declared_colour(stream, ycbcr=ycbcr)


def decompressed(picture: Picture) -> tuple[Samples, bool]:
    """What gdcm makes of a stream, and whether it is YCbCr.

    Returns:
        (height, width) or (height, width, 3) samples of the stream's own bits.

    Raises:
        ImageError: The stream is truncated or corrupt, or contradicts the header.
    """
    ycbcr = picture.photometric.startswith("YBR")
    if picture.syntax in JPEG_2000:
        stream, found = jpeg2000_codestream(picture.pixels)
        # The codestream's own component transform is undone by the decoder (T.800, annex G).
        ycbcr = picture.photometric.startswith("YBR_FULL")
    else:
        stream, found = picture.pixels, jpeg_stream_header(picture.pixels)
    bits = found.bits
    if picture.syntax == JPEG_EXTENDED:
        bits = min(bits, 12)  # gdcm's own encoder writes 16 where only 8 and 12 exist (T.81, table B.2)
        ycbcr = picture.samples == 3 and jpeg_is_ycbcr(stream, picture.photometric)
    _refuse_contradiction(picture, found)
    allocated = 8 if bits <= 8 else 16
    facts: dict[str, int | str] = {
        "syntax": picture.syntax,
        "photometric": picture.photometric,
        "width": picture.header.width,
        "height": picture.header.height,
        "samples": picture.samples,
        "allocated": allocated,
        "stored": bits,
    }
    decoded = gdcm_decode(stream, facts)
    if allocated == 8:
        return np.frombuffer(decoded, np.uint8).reshape(_shape(picture)), ycbcr
    return np.frombuffer(decoded, np.uint16).reshape(_shape(picture)), ycbcr


def run_lengths(picture: Picture) -> Samples:
    """RLE by pydicom: it is quick, written in Python, and right for 16-bit colour, which gdcm 3.2.6 garbles.

    Returns:
        (height, width) or (height, width, 3) samples, bits above the stored ones cleared.

    Raises:
        ImageError: The run lengths are corrupt.
    """
    from dr_pipeline.fundus.dicom.quiet_pydicom import UID, encapsulate, get_decoder

    options: dict[str, Any] = {
        "rows": picture.header.height,
        "columns": picture.header.width,
        "samples_per_pixel": picture.samples,
        # Whatever it is: RLE holds every sample, and no conversion is asked for.
        "photometric_interpretation": "RGB" if picture.samples == 3 else "MONOCHROME2",
        "bits_allocated": picture.bits_allocated,
        "bits_stored": picture.bits_stored,
        "pixel_representation": 0,
        "planar_configuration": 0,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    try:
        pixels, _ = get_decoder(UID(RLE)).as_array(encapsulate([picture.pixels]), raw=True, **options)
    except Exception as error:  # pydicom's many, for a corrupt stream
        raise ImageError(
            f"cannot be decoded: corrupt run lengths ({type(error).__name__})", todo="copy the file anew"
        ) from None
    if pixels.shape != _shape(picture):
        raise ImageError("cannot be decoded: the run lengths hold another picture than the header says")
    samples: Samples = pixels & pixels.dtype.type((1 << picture.bits_stored) - 1)
    return samples


def _shape(picture: Picture) -> tuple[int, ...]:
    return (picture.header.height, picture.header.width, *((3,) if picture.samples == 3 else ()))


def _refuse_contradiction(picture: Picture, found: Header) -> None:
    header = picture.header
    if (found.width, found.height, found.channels) != (header.width, header.height, picture.samples):
        raise ImageError(
            f"DICOM whose header says {header.width}×{header.height} px of {picture.samples} samples and whose "
            f"compressed picture says {found.width}×{found.height} px of {found.channels}"
        )
    if not 1 <= found.bits <= 16:
        raise ImageError(f"DICOM whose compressed picture has {found.bits} bits a sample is not read")
