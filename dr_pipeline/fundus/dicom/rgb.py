"""A DICOM picture of any depth and colour model → RGB of 8 bits."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.compressed import Samples, decompressed, run_lengths
from dr_pipeline.fundus.dicom.dataset import NATIVE
from dr_pipeline.fundus.dicom.image import RLE, Picture
from dr_pipeline.fundus.formats.header import truncated
from dr_pipeline.fundus.opencv import cv2


def dicom_rgb(picture: Picture) -> NDArray[np.uint8]:
    """Decodes every kind of pixels that `libjpeg_stream` does not hand on.

    Returns:
        (height, width, 3) RGB.

    Raises:
        ImageError: The pixels are truncated, corrupt, or contradict the header.
    """
    if picture.syntax in NATIVE or not picture.syntax:
        samples, ycbcr = _native(picture), picture.photometric.startswith("YBR")
    elif picture.syntax == RLE:
        samples, ycbcr = run_lengths(picture), picture.photometric.startswith("YBR")
    else:
        samples, ycbcr = decompressed(picture)
    if picture.photometric == "PALETTE COLOR":
        return _through_palette(samples, picture)
    eight = _to_eight_bits(samples, picture.bits_stored)
    if picture.photometric == "MONOCHROME1":
        eight = 255 - eight
    if picture.samples == 1:
        return _contiguous(cv2.cvtColor(eight, cv2.COLOR_GRAY2RGB))
    if ycbcr:
        # OpenCV's order is Y, Cr, Cb; its matrix is that of PS3.3, C.7.6.3.1.2 (BT.601, full range).
        return _contiguous(cv2.cvtColor(np.ascontiguousarray(eight[..., (0, 2, 1)]), cv2.COLOR_YCrCb2RGB))
    return _contiguous(eight)


def inverted(picture: Picture) -> bool:
    """Whether the lowest value is shown white."""
    return picture.photometric == "MONOCHROME1"


def _native(picture: Picture) -> Samples:
    """(height, width) or (height, width, 3) samples as stored, bits above the stored ones cleared."""
    width, height, samples = picture.header.width, picture.header.height, picture.samples
    subsampled = picture.photometric == "YBR_FULL_422"
    per_row = width * (2 if subsampled else samples)
    if subsampled and width % 2:
        raise ImageError("DICOM of YBR_FULL_422 with an odd number of columns is not read")
    needed = height * per_row * picture.bits_allocated // 8
    data = picture.pixels
    if len(data) < needed:
        raise truncated("DICOM")
    if subsampled and len(data) >= height * width * 3 * picture.bits_allocated // 8:
        raise ImageError("DICOM that says YBR_FULL_422 and holds pixels that are not subsampled")
    if picture.bits_allocated == 8 and picture.words and not picture.little:
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    order = "<" if picture.little else ">"
    kind = np.dtype(np.uint8) if picture.bits_allocated == 8 else np.dtype(f"{order}u2")
    flat = np.frombuffer(data, kind, count=height * per_row)
    if subsampled:
        pixels = _full_chroma(flat.reshape(height, width // 2, 4))
    elif samples == 1:
        pixels = flat.reshape(height, width)
    elif picture.planar:
        pixels = flat.reshape(3, height, width).transpose(1, 2, 0)
    else:
        pixels = flat.reshape(height, width, 3)
    stored_bits = (1 << picture.bits_stored) - 1
    # Out of a file's byte order into the machine's; bits above the stored ones once held overlays.
    return np.ascontiguousarray(pixels, kind.newbyteorder("=")) & kind.type(stored_bits)


def _full_chroma(pairs: Samples) -> Samples:
    """(height, width / 2, 4) of Y1 Y2 Cb Cr → (height, width, 3); each pair of pixels shares its chroma."""
    height, half, _ = pairs.shape
    pixels = np.empty((height, half, 2, 3), pairs.dtype)
    pixels[..., 0] = pairs[..., :2]
    pixels[..., 1:] = pairs[:, :, None, 2:]
    return pixels.reshape(height, 2 * half, 3)


def _to_eight_bits(samples: Samples, bits: int) -> NDArray[np.uint8]:
    """The full range of the stored bits → 8; larger values, which a lossy stream may hold, become white."""
    if samples.dtype == np.uint8 and bits == 8:
        return samples  # type: ignore[return-value]
    eight: NDArray[np.uint8] = cv2.convertScaleAbs(samples, alpha=255 / ((1 << bits) - 1))  # rounds to the nearest
    return eight


def _through_palette(indices: Samples, picture: Picture) -> NDArray[np.uint8]:
    from dr_pipeline.fundus.dicom.quiet_pydicom import apply_color_lut

    try:
        colours = apply_color_lut(indices, picture.dataset)
    except Exception as error:  # pydicom's many; their texts may quote the file
        raise ImageError(f"DICOM whose palette cannot be applied ({type(error).__name__})") from None
    if colours.shape != (*indices.shape, 3) or colours.dtype not in (np.uint8, np.uint16):
        raise ImageError("DICOM whose palette does not hold three colours of 8 or 16 bits")
    if colours.max() < 256:  # entries of 8 bits, also where each lies in a 16-bit word
        return _contiguous(colours.astype(np.uint8))
    return _contiguous(_to_eight_bits(colours.astype(np.uint16), 16))


def _contiguous(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels)
