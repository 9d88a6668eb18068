"""The only place that decodes pixels: file bytes → upright 8-bit RGB, or an ImageError that says why not.

One declared policy per format and oddity:

| what | policy |
|---|---|
| JPEG, PNG, TIFF, BMP, WebP | read |
| DICOM | ophthalmic photographs read, the rest refused: the table in `dicom_picture` |
| any other format (GIF, JPEG 2000, HEIC, text named .jpg, …) | refused |
| truncated or failing its checksums | refused, never half a picture; a JPEG that lacks a scan, too |
| over 200 megapixels; a side under 64 px | refused from the header, before any pixel is decoded |
| animated or multi-page (thumbnail pages do not count) | refused: which picture is meant is not known |
| EXIF or TIFF orientation, all eight | applied exactly once; a corrupt tag counts as upright |
| JPEG much larger than the canvas | decoded at 1/2 or 1/4, see `jpeg_scale` |
| 16 bits a channel | full range: round(value / 257); not stretched, so 12 bits in 16 come out dark |
| transparency | composited over black, the colour outside a fundus |
| grey (red-free, fluorescein) | three equal channels; quality says `no_colour` |
| CMYK, YCCK | refused: a print file; without its ink profile each decoder makes other colours of it |
| JPEG of 12 bits, TIFF of floats or signed integers | refused |
| colour profiles (ICC) | not applied: cameras' sRGB is taken as it is |
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.compressed import libjpeg_stream
from dr_pipeline.fundus.dicom.image import read_picture
from dr_pipeline.fundus.dicom.recognise import looks_like_dicom
from dr_pipeline.fundus.dicom.rgb import dicom_rgb, inverted
from dr_pipeline.fundus.formats import jpeg as header_jpeg
from dr_pipeline.fundus.formats import png as header_png
from dr_pipeline.fundus.formats.exif import UPRIGHT, turns_sides, upright
from dr_pipeline.fundus.formats.header import Header, refuse_size
from dr_pipeline.fundus.formats.tiff_bmp_webp import read_bmp_header, read_tiff_header, read_webp_header
from dr_pipeline.fundus.opencv import cv2

# libjpeg fills what a scan lacks with this grey, where a file was cut and an end marker put after the cut.
_JPEG_FILLER = 128
# A reduced picture keeps at least this many times the canvas's pixels on its shorter side, so that the
# INTER_AREA step still averages and small lesions keep their contrast. Never 1/8: libjpeg's 1×1 transform
# is a plain block mean.
MIN_OVERSAMPLING = 2
_REDUCED_FLAGS = {1: cv2.IMREAD_COLOR_BGR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture as the pixel path sees it.

    Attributes:
        pixels: (height / scale, width / scale, 3) RGB, upright; sides are rounded up.
        width: Of the upright original, px.
        height: Of the upright original, px.
        scale: Original pixels per decoded pixel: 1, 2 or 4.
        grey: Whether the file has no colour channels.
        format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom".
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: int
    grey: bool
    format: str

    @property
    def pixel_sha256(self) -> str:
        """Hash of the decoded pixels with their shape, the original's sides and the scale."""
        digest = hashlib.sha256(f"{self.width}x{self.height}/{self.scale}:{self.pixels.shape}".encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()


def read_header(data: bytes) -> Header:
    """Recognises the format by its first bytes, never by the file's name, and reads its header.

    Raises:
        ImageError: The file is empty, of no supported format, truncated, or too large or small to be a photograph.
    """
    if not data:
        raise ImageError("the file is empty (0 bytes)", todo="copy the file anew from its source")
    if looks_like_dicom(data):
        header = read_picture(data).header
    elif data.startswith(header_jpeg.SIGNATURE):
        header = header_jpeg.read_jpeg_header(data)
    elif data.startswith(header_png.SIGNATURE):
        header = header_png.read_png_header(data)
    elif data.startswith((b"II*\0", b"MM\0*")):
        header = read_tiff_header(data)
    elif data.startswith(b"BM"):
        header = read_bmp_header(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        header = read_webp_header(data)
    else:
        raise ImageError("not a JPEG, PNG, TIFF, BMP, WebP or DICOM file", todo="export the photograph as JPEG or PNG")
    refuse_size(header)
    return header


def jpeg_scale(header: Header, canvas_px: int) -> int:
    """The reduction at which libjpeg decodes: the largest of 4, 2, 1 that keeps `MIN_OVERSAMPLING`; other formats 1."""
    shorter_px = min(header.width, header.height)
    if header.format == "jpeg":
        for scale in (4, 2):
            if shorter_px // scale >= MIN_OVERSAMPLING * canvas_px:
                return scale
    return 1


def decode(data: bytes, canvas_px: int) -> Decoded:
    """Decodes one photograph at the scale that a canvas of `canvas_px` needs.

    Raises:
        ImageError: See the table of policies above.
    """
    if looks_like_dicom(data):
        return _decode_dicom(data, canvas_px)
    return _decode_file(data, read_header(data), canvas_px)


def _decode_file(data: bytes, header: Header, canvas_px: int) -> Decoded:
    """Any format but DICOM."""
    if header.channels == 4:
        raise ImageError("CMYK picture: its colours depend on a printer's inks", todo="export it as RGB")
    if header.channels not in (1, 3) or header.bits > 16 or (header.format == "jpeg" and header.bits != 8):
        raise ImageError(f"{header.format.upper()} with {header.channels} channels of {header.bits} bits is not read")
    scale = jpeg_scale(header, canvas_px)
    stored = _to_rgb8(_imdecode(data, _flags(header, scale)))
    if header.format == "jpeg" and (stored[-1] == _JPEG_FILLER).all():
        raise ImageError("truncated JPEG file: the rest of the picture is filler", todo="copy the file anew")
    # OpenCV turns a TIFF by its tag whatever the flags; every other format it leaves to us.
    pixels = upright(stored, UPRIGHT if header.format == "tiff" else header.orientation)
    width, height = (header.height, header.width) if turns_sides(header.orientation) else (header.width, header.height)
    expected = (-(-height // scale), -(-width // scale), 3)
    if pixels.shape != expected:
        raise ImageError(f"corrupt file: its header says {expected}, its pixels {pixels.shape}")
    return Decoded(pixels, width, height, scale, grey=header.channels == 1, format=header.format)


def _decode_dicom(data: bytes, canvas_px: int) -> Decoded:
    """A DICOM file's one picture; its JPEG stream goes the way that a JPEG file goes."""
    picture = read_picture(data)
    stream = libjpeg_stream(picture)
    if stream:
        header = header_jpeg.read_jpeg_header(stream)
        decoded = replace(_decode_file(stream, header, canvas_px), format="dicom")
        return replace(decoded, pixels=255 - decoded.pixels) if inverted(picture) else decoded
    header = picture.header
    return Decoded(dicom_rgb(picture), header.width, header.height, 1, grey=header.channels == 1, format="dicom")


def decode_png(png: bytes) -> NDArray[np.uint8]:
    """Decodes a canvas that this pipeline wrote: (height, width, 3) RGB."""
    pixels: NDArray[np.uint8] = cv2.cvtColor(_imdecode(png, cv2.IMREAD_COLOR_BGR), cv2.COLOR_BGR2RGB)
    return pixels


def _flags(header: Header, scale: int) -> int:
    if header.alpha:
        # OpenCV has no flag for "upright alpha"; UNCHANGED keeps the channel and the depth, and turns nothing.
        return int(cv2.IMREAD_UNCHANGED)
    depth = cv2.IMREAD_ANYDEPTH if header.bits == 16 else 0
    return int(_REDUCED_FLAGS[scale] | depth | cv2.IMREAD_IGNORE_ORIENTATION)


def _imdecode(data: bytes, flags: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    try:
        pixels: NDArray[np.uint8] | NDArray[np.uint16] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"cannot be decoded: {error}") from None
    if pixels is None:
        raise ImageError("cannot be decoded: the file is truncated or corrupt", todo="copy the file anew")
    return pixels


def _to_rgb8(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """OpenCV's grey, BGR or BGRA of 8 or 16 bits → RGB of 8 bits."""
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)  # rounds to the nearest
    if pixels.dtype != np.uint8:
        raise ImageError(f"pixels of type {pixels.dtype} are no photograph")
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == 4:
        opaque = pixels[..., 3:].astype(np.float32) / 255
        pixels = np.rint(pixels[..., :3] * opaque).astype(np.uint8)
    rgb: NDArray[np.uint8] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb
