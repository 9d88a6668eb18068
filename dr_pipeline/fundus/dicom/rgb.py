"""Converts a DICOM picture of any depth and colour model to 8-bit RGB.

pydicom decodes native pixels and run lengths (RLE): it is as fast as numpy alone, and right for 16-bit colour RLE,
which gdcm 3.2.6 garbles. Its colour conversion is not used, since OpenCV's is many times faster.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.codec import RLE
from dr_pipeline.fundus.dicom.compressed import Samples, decompress
from dr_pipeline.fundus.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE
from dr_pipeline.fundus.dicom.image import DicomImage
from dr_pipeline.fundus.formats.header import truncated
from dr_pipeline.fundus.opencv import cv2

_MAX_BYTE = 255


def dicom_to_rgb(image: DicomImage) -> NDArray[np.uint8]:
    """Decodes all pixels for which `libjpeg_stream` is empty.

    Returns:
        (height, width, 3) RGB.

    Raises:
        ImageError: The pixels are truncated, corrupt, or contradict the header.
    """
    if image.is_native or image.syntax == RLE:
        samples, ycbcr = _uncompressed(image), image.photometric.startswith("YBR")
    else:
        samples, ycbcr = decompress(image)
    if image.photometric == "PALETTE COLOR":
        return _apply_palette(samples, image)
    # Photographs of 8 bits in 16, whatever the header says: by their full range they would be black.
    stored = 8 if image.bits_stored == 16 and samples.max() <= _MAX_BYTE else image.bits_stored
    pixels = _to_eight_bits(samples, stored)
    if is_inverted(image):
        pixels = 255 - pixels
    if image.samples == 1:
        return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
    if ycbcr:
        # OpenCV's order is Y, Cr, Cb; its matrix is that of PS3.3, C.7.6.3.1.2 (BT.601, full range).
        return np.ascontiguousarray(cv2.cvtColor(np.ascontiguousarray(pixels[..., (0, 2, 1)]), cv2.COLOR_YCrCb2RGB))
    return np.ascontiguousarray(pixels)


def is_inverted(image: DicomImage) -> bool:
    """Whether the lowest value is displayed white."""
    return image.photometric == "MONOCHROME1"


def _uncompressed(image: DicomImage) -> Samples:
    """Decodes native or RLE pixels: (height, width) or (height, width, 3), unused bits cleared; may be read-only.

    Raises:
        ImageError: The pixels are truncated or corrupt, or are not subsampled as the header states.
    """
    from dr_pipeline.fundus.dicom.quiet_pydicom import UID, encapsulate, get_decoder

    subsampled = image.is_native and image.photometric == "YBR_FULL_422"
    if image.is_native:
        syntax = EXPLICIT_LITTLE if image.little else EXPLICIT_BIG
        source = image.pixels[: _native_bytes(image, subsampled=subsampled)]
    else:
        syntax, source = RLE, encapsulate([image.pixels])
    options: dict[str, Any] = {
        "rows": image.header.height,
        "columns": image.header.width,
        "samples_per_pixel": image.samples,
        # Only subsampling matters here, since no colour conversion is requested; RLE holds every sample.
        "photometric_interpretation": "YBR_FULL_422" if subsampled else "RGB" if image.samples == 3 else "MONOCHROME2",
        "bits_allocated": image.bits_allocated,
        "bits_stored": image.bits_stored,
        "pixel_representation": 0,
        "planar_configuration": int(image.is_native and image.planar and not subsampled),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW" if image.words else "OB",
        "view_only": True,
        "correct_unused_bits": False,  # cleared below, at a third of the cost
    }
    try:
        samples, _ = get_decoder(UID(syntax)).as_array(source, raw=True, **options)
    except Exception as error:  # of many kinds, for a corrupt stream
        kind = "pixels" if image.is_native else "run lengths"
        raise ImageError(
            f"cannot be decoded: corrupt {kind} ({type(error).__name__})", todo="copy the file again"
        ) from None
    if samples.shape != image.shape:
        raise ImageError("cannot be decoded: the run lengths hold another picture than the header says")
    samples = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))  # the machine's byte order
    if image.bits_stored < image.bits_allocated:  # older files hold overlays in the unused bits
        samples = samples & samples.dtype.type((1 << image.bits_stored) - 1)
    return samples


def _native_bytes(image: DicomImage, *, subsampled: bool) -> int:
    """The length of the native pixels with their padding byte.

    Raises:
        ImageError: The pixels are shorter, or not subsampled as the header states.
    """
    width, height, sample_bytes = image.header.width, image.header.height, image.bits_allocated // 8
    if subsampled and width % 2:
        raise ImageError("DICOM of YBR_FULL_422 with an odd number of columns is not read")
    length = height * width * (2 if subsampled else image.samples) * sample_bytes
    if len(image.pixels) < length:
        raise truncated("DICOM")
    if subsampled and len(image.pixels) >= height * width * 3 * sample_bytes:
        raise ImageError("DICOM that says YBR_FULL_422 and holds pixels that are not subsampled")
    return length + length % 2


def _to_eight_bits(samples: Samples, bits: int) -> NDArray[np.uint8]:
    """Scales the full range of the stored bits to 8; larger values, which a lossy stream may hold, become white."""
    if samples.dtype == np.uint8 and bits == 8:
        return samples  # type: ignore[return-value]
    scaled: NDArray[np.uint8] = cv2.convertScaleAbs(samples, alpha=255 / ((1 << bits) - 1))  # rounds to the nearest
    return scaled


def _apply_palette(indices: Samples, image: DicomImage) -> NDArray[np.uint8]:
    from dr_pipeline.fundus.dicom.quiet_pydicom import apply_color_lut

    try:
        colours = apply_color_lut(indices, image.dataset)
    except Exception as error:  # of many kinds; their messages may quote the file
        raise ImageError(f"DICOM whose palette cannot be applied ({type(error).__name__})") from None
    if colours.shape != (*indices.shape, 3) or colours.dtype not in (np.uint8, np.uint16):
        raise ImageError("DICOM whose palette does not hold three colours of 8 or 16 bits")
    if colours.max() < 256:  # entries of 8 bits, even if each is stored in a 16-bit word
        return np.ascontiguousarray(colours.astype(np.uint8))
    return np.ascontiguousarray(_to_eight_bits(colours.astype(np.uint16), 16))
