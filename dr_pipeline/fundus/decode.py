"""The only place that decodes pixels: file bytes → upright 8-bit RGB, or an ImageError that gives the reason.

Each format and irregularity has one declared policy:

| input | policy |
|---|---|
| JPEG, PNG, TIFF, BMP, WebP | read |
| DICOM | ophthalmic photographs are read, everything else is refused: see the table in `dicom.image` |
| any other format (GIF, JPEG 2000, HEIC, text named .jpg, …) | refused |
| truncated, failing its checksums, or a JPEG that lacks a scan | refused; a partial picture is never returned |
| over 200 megapixels; a side under 64 px | refused from the header, before any pixel is decoded |
| animated or multi-page (thumbnail pages do not count) | refused: it is not known which picture is meant |
| EXIF or TIFF orientation, all eight | applied exactly once; a corrupt tag counts as upright |
| JPEG much larger than the canvas | decoded at 1/2 or 1/4 size, see `jpeg_scale` |
| 16 bits per channel | full range: round(value / 257); not stretched, so 12 bits stored in 16 appear dark |
| transparency | composited over black, the colour outside the field of view |
| grey (red-free, fluorescein) | three equal channels; quality reports `no_colour` |
| CMYK, YCCK | refused: without its ink profile the colours depend on the decoder |
| JPEG of 12 bits; TIFF of floats or signed integers | refused |
| colour profiles (ICC) | ignored: pixels are taken as sRGB, which cameras write |
"""

import hashlib
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.compressed import libjpeg_stream
from dr_pipeline.fundus.dicom.image import read_dicom_image
from dr_pipeline.fundus.dicom.recognise import looks_like_dicom
from dr_pipeline.fundus.dicom.rgb import dicom_to_rgb, is_inverted
from dr_pipeline.fundus.formats import jpeg, png
from dr_pipeline.fundus.formats.exif import UPRIGHT, apply_orientation, swaps_sides
from dr_pipeline.fundus.formats.header import Header, check_size
from dr_pipeline.fundus.formats.tiff_bmp_webp import read_bmp_header, read_tiff_header, read_webp_header
from dr_pipeline.fundus.opencv import cv2

# 200 megapixels of 16-bit RGB, uncompressed, with room for metadata.
MAX_FILE_BYTES = 1_300_000_000
# libjpeg fills a missing part of a scan with this grey, if the file was cut and an end marker was appended.
_JPEG_FILLER = 128
# A reduced picture keeps at least this many times the canvas's pixels on its shorter side. The INTER_AREA step then
# still averages, and small lesions keep their contrast. Never 1/8: libjpeg's 1×1 transform is a plain block mean.
MIN_OVERSAMPLING = 2
_REDUCED_FLAGS = {1: cv2.IMREAD_COLOR_BGR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded photograph.

    Attributes:
        pixels: (height / scale, width / scale, 3) RGB, upright; sides are rounded up.
        width: Width of the upright original, px.
        height: Height of the upright original, px.
        scale: Original pixels per decoded pixel: 1, 2 or 4.
        format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom".
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: int
    format: str

    @property
    def pixel_sha256(self) -> str:
        """Hash of the decoded pixels, their shape, the original's sides and the scale."""
        digest = hashlib.sha256(f"{self.width}x{self.height}/{self.scale}:{self.pixels.shape}".encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()


def read_image_file(path: Path) -> bytes:
    """Reads a photograph's file as bytes.

    Raises:
        ImageError: The file is missing, not regular (a pipe would block for ever), too large, or cannot be read.
    """
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ImageError("not a regular file", where=str(path))
        if info.st_size > MAX_FILE_BYTES:
            raise ImageError(f"{info.st_size / 1e9:.1f} GB is too large for a photograph", where=str(path))
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("the file is missing", where=str(path)) from None
    except OSError as error:
        raise ImageError(f"the file cannot be read: {error.strerror}", where=str(path)) from None


def read_header(data: bytes) -> Header:
    """Recognises the format by the first bytes, never by the file's name, and reads its header.

    Raises:
        ImageError: The file is empty, of no supported format, truncated, or its picture is too large or too small.
    """
    if not data:
        raise ImageError("the file is empty (0 bytes)", todo="copy the file again from its source")
    if looks_like_dicom(data):
        header = read_dicom_image(data).header
    elif data.startswith(jpeg.SIGNATURE):
        header = jpeg.read_jpeg_header(data)
    elif data.startswith(png.SIGNATURE):
        header = png.read_png_header(data)
    elif data.startswith((b"II*\0", b"MM\0*")):
        header = read_tiff_header(data)
    elif data.startswith(b"BM"):
        header = read_bmp_header(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        header = read_webp_header(data)
    else:
        raise ImageError("not a JPEG, PNG, TIFF, BMP, WebP or DICOM file", todo="export the photograph as JPEG or PNG")
    check_size(header)
    return header


def jpeg_scale(header: Header, canvas_px: int) -> int:
    """Reduction factor for libjpeg: the largest of 4, 2, 1 that keeps `MIN_OVERSAMPLING`; 1 for other formats."""
    shorter_px = min(header.width, header.height)
    if header.format == "jpeg":
        for scale in (4, 2):
            if shorter_px // scale >= MIN_OVERSAMPLING * canvas_px:
                return scale
    return 1


def decode(data: bytes, canvas_px: int) -> DecodedImage:
    """Decodes one photograph at the scale that a canvas of `canvas_px` needs.

    Raises:
        ImageError: See the table of policies above.
    """
    if looks_like_dicom(data):
        return _decode_dicom(data, canvas_px)
    return _decode_file(data, read_header(data), canvas_px)


def _decode_file(data: bytes, header: Header, canvas_px: int) -> DecodedImage:
    """Decodes any format but DICOM."""
    if header.channels == 4:
        raise ImageError("CMYK picture: its colours depend on a printer's inks", todo="export it as RGB")
    if header.channels not in (1, 3) or header.bits > 16 or (header.format == "jpeg" and header.bits != 8):
        raise ImageError(f"{header.format.upper()} with {header.channels} channels of {header.bits} bits is not read")
    scale = jpeg_scale(header, canvas_px)
    stored = _to_rgb8(_imdecode(data, _flags(header, scale)))
    if header.format == "jpeg" and (stored[-1] == _JPEG_FILLER).all():
        raise ImageError("truncated JPEG file: the rest of the picture is filler", todo="copy the file again")
    # OpenCV applies a TIFF's orientation whatever the flags; for every other format it is applied here.
    pixels = apply_orientation(stored, UPRIGHT if header.format == "tiff" else header.orientation)
    width, height = (header.height, header.width) if swaps_sides(header.orientation) else (header.width, header.height)
    expected = (-(-height // scale), -(-width // scale), 3)
    if pixels.shape != expected:
        raise ImageError(f"corrupt file: its header says {expected}, its pixels {pixels.shape}")
    return DecodedImage(pixels, width, height, scale, format=header.format)


def _decode_dicom(data: bytes, canvas_px: int) -> DecodedImage:
    """Decodes a DICOM file's picture; a baseline JPEG stream is decoded as a JPEG file is."""
    image = read_dicom_image(data)
    stream = libjpeg_stream(image)
    if not stream:
        return DecodedImage(dicom_to_rgb(image), image.header.width, image.header.height, 1, format="dicom")
    decoded = replace(_decode_file(stream, jpeg.read_jpeg_header(stream), canvas_px), format="dicom")
    return replace(decoded, pixels=255 - decoded.pixels) if is_inverted(image) else decoded


def decode_png(png_bytes: bytes) -> NDArray[np.uint8]:
    """Decodes a canvas that this pipeline wrote: (height, width, 3) RGB."""
    pixels: NDArray[np.uint8] = cv2.cvtColor(_imdecode(png_bytes, cv2.IMREAD_COLOR_BGR), cv2.COLOR_BGR2RGB)
    return pixels


def _flags(header: Header, scale: int) -> int:
    if header.alpha:
        # OpenCV has no flag for "upright alpha"; UNCHANGED keeps the channel and the depth, and rotates nothing.
        return int(cv2.IMREAD_UNCHANGED)
    depth = cv2.IMREAD_ANYDEPTH if header.bits == 16 else 0
    return int(_REDUCED_FLAGS[scale] | depth | cv2.IMREAD_IGNORE_ORIENTATION)


def _imdecode(data: bytes, flags: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    try:
        pixels: NDArray[np.uint8] | NDArray[np.uint16] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"cannot be decoded: {error}") from None
    if pixels is None:
        raise ImageError("cannot be decoded: the file is truncated or corrupt", todo="copy the file again")
    return pixels


def _to_rgb8(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Converts OpenCV's grey, BGR or BGRA of 8 or 16 bits to RGB of 8 bits."""
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)  # rounds to the nearest
    if pixels.dtype != np.uint8:
        raise ImageError(f"pixels of type {pixels.dtype} are no photograph")
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        pixels = np.rint(pixels[..., :3] * alpha).astype(np.uint8)
    rgb: NDArray[np.uint8] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb
