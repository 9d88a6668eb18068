"""The only place that decodes pixels: file bytes → upright 8-bit RGB, or an ImageError that gives the reason.

Each format and irregularity has one declared policy:

| input | policy |
|---|---|
| JPEG, PNG, TIFF, BMP, WebP | read |
| DICOM | ophthalmic photographs are read, everything else is refused: see the table in `dicom.image` |
| any other format (GIF, JPEG 2000, HEIC, text named .jpg, …) | refused |
| truncated, failing its checksums, a JPEG that lacks a scan, or that libjpeg warns of | refused, never partly read |
| JPEG with a seam that damage leaves (`seams`), or a scan that ends out of step | read, with a `doubt` for a person |
| data behind a JPEG's end marker (video, further pictures, padding) | not read, named in `notes` |
| bytes before a JPEG's signature | refused, named |
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

import errno
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.compressed import libjpeg_stream
from dr_pipeline.fundus.dicom.image import read_dicom_image
from dr_pipeline.fundus.dicom.rgb import dicom_to_rgb, is_inverted
from dr_pipeline.fundus.formats import png
from dr_pipeline.fundus.formats.bmp import expand_sixteen_bits, read_bmp_header, with_grey_palette
from dr_pipeline.fundus.formats.exif import UPRIGHT, apply_orientation, swaps_sides
from dr_pipeline.fundus.formats.header import Header, check_size, require_readable
from dr_pipeline.fundus.formats.jpeg import SIGNATURE as JPEG_SIGNATURE
from dr_pipeline.fundus.formats.jpeg import read_jpeg, read_jpeg_header, trailing_data
from dr_pipeline.fundus.formats.jpeg_pixels import decode_jpeg
from dr_pipeline.fundus.formats.recognise import HEAD_BYTES, recognise
from dr_pipeline.fundus.formats.tiff import decode_tiff, read_tiff_header, stored_samples
from dr_pipeline.fundus.formats.webp import read_webp_header
from dr_pipeline.fundus.limits import MAX_FILE_BYTES
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.seams import seam

# A reduced picture keeps at least this many times the canvas's pixels on its shorter side. The INTER_AREA step then
# still averages, and small lesions keep their contrast. Never 1/8: libjpeg's 1×1 transform is a plain block mean.
MIN_OVERSAMPLING = 2
_ZIP = b"PK\x03\x04"
_FULL_SIDE = 1 << 16  # no photograph is as large: nothing is decoded at a fraction of its size
_BYTE_BITS = 8
# What opening a folder, and a socket, ends with.
_NOT_REGULAR = (errno.EISDIR, errno.ENXIO)


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded photograph.

    Attributes:
        pixels: (height / scale, width / scale, 3) RGB, upright; sides are rounded up.
        width: Width of the upright original, px.
        height: Height of the upright original, px.
        scale: Original pixels per decoded pixel: 1, 2 or 4.
        format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom".
        doubt: Why the file may be damaged, so that a person must look at the picture; "" if nothing says so.
        notes: What else the file holds; no fault.
        camera: See `Header`.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: int
    format: str
    doubt: str = ""
    notes: tuple[str, ...] = ()
    camera: str = ""

    @property
    def pixel_hash(self) -> str:
        """XXH3 of the decoded pixels, their shape, the original's sides and the scale: 32 hexadecimal digits.

        It finds equal pictures; against forgery there is the file's SHA-256. 30 times as fast as that over all pixels.
        """
        digest = xxhash.xxh3_128(f"{self.width}x{self.height}/{self.scale}:{self.pixels.shape}".encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()


def read_image_file(path: Path) -> bytes:
    """Reads a photograph's file as bytes.

    Raises:
        ImageError: The file is missing, not regular, too large, changes while it is read, or cannot be read.
    """
    where = str(path)
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise ImageError("not a regular file", where=where)
            if before.st_size > MAX_FILE_BYTES:
                raise ImageError(f"{before.st_size / 1e9:.1f} GB is too large for a photograph", where=where)
            data = stream.read(before.st_size + 1)
            after = os.fstat(stream.fileno())
    except FileNotFoundError:
        raise ImageError("the file is missing", where=where) from None
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise ImageError("not a regular file", where=where) from None
        raise ImageError(f"the file cannot be read: {error.strerror}", where=where) from None
    except ValueError:
        raise ImageError("the file's name holds a zero byte", where=where) from None
    if len(data) != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ImageError("the file changed while it was read", where=where, todo="wait until it is written whole")
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Opens a file for `open`; a pipe, which would block for ever, is opened without waiting for its writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_header(data: bytes) -> Header:
    """Recognises the format by the first bytes, never by the file's name, and reads its header.

    Raises:
        ImageError: The file is empty, of no supported format, truncated, or its picture is too large or too small.
    """
    header = _HEADER_READERS[_format_of(data)](data)
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
    kind = _format_of(data)
    if kind == "dicom":
        return _decode_dicom(data, canvas_px)
    if kind == "jpeg":
        return _decode_jpeg(data, canvas_px)
    return _decode_tiff(data) if kind == "tiff" else _decode_other(data)


def _format_of(data: bytes) -> str:
    """Recognises the format, or raises ImageError if it is none that is read."""
    if not data:
        raise ImageError("the file is empty (0 bytes)", todo="copy the file again from its source")
    kind = recognise(data[:HEAD_BYTES])
    if kind is not None:
        return kind
    if data.startswith(_ZIP):
        raise ImageError("a zip archive, not a photograph: name it as a source of its own to score what is in it")
    before = data.find(JPEG_SIGNATURE, 0, HEAD_BYTES)
    if before > 0:
        raise ImageError(f"not a JPEG file: {before} other bytes come before one", todo="export the photograph again")
    raise ImageError("not a JPEG, PNG, TIFF, BMP, WebP or DICOM file", todo="export the photograph as JPEG or PNG")


def _decode_jpeg(data: bytes, canvas_px: int) -> DecodedImage:
    file = read_jpeg(data)
    check_size(file.header)
    require_readable(file.header)
    scale = jpeg_scale(file.header, canvas_px)
    stored, doubt = decode_jpeg(data, file, scale)
    trailing = trailing_data(data, file.end)
    return replace(
        _upright(stored, file.header, scale),
        doubt=doubt or seam(stored, file.unit_width // scale, file.unit_height // scale),
        notes=(trailing,) if trailing else (),
    )


def _decode_other(data: bytes) -> DecodedImage:
    """Decodes PNG, BMP and WebP."""
    header = read_header(data)
    require_readable(header)
    stored = _to_rgb8(_imdecode(data, _flags(header)))
    return _upright(expand_sixteen_bits(data, stored) if header.format == "bmp" else stored, header, scale=1)


def _decode_tiff(data: bytes) -> DecodedImage:
    pixels, header = decode_tiff(data)
    # It is upright already: what is left to check is its size.
    width, height = (header.height, header.width) if swaps_sides(header.orientation) else (header.width, header.height)
    upright = replace(header, width=width, height=height, orientation=UPRIGHT)
    return _upright(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels, upright, scale=1)


def _upright(stored: NDArray[np.uint8], header: Header, scale: int) -> DecodedImage:
    """Turns the picture upright, if it is as large as its header says."""
    expected = (-(-header.height // scale), -(-header.width // scale), 3)
    if stored.shape != expected:
        raise ImageError(f"corrupt file: its header says {expected}, its pixels {stored.shape}")
    width, height = (header.height, header.width) if swaps_sides(header.orientation) else (header.width, header.height)
    pixels = apply_orientation(stored, header.orientation)
    return DecodedImage(pixels, width, height, scale, format=header.format, camera=header.camera)


def _decode_dicom(data: bytes, canvas_px: int) -> DecodedImage:
    """Decodes a DICOM file's picture; a baseline JPEG stream is decoded as a JPEG file is."""
    image = read_dicom_image(data)
    stream, header = libjpeg_stream(image), image.header
    if not stream:
        return DecodedImage(dicom_to_rgb(image), header.width, header.height, 1, format="dicom", camera=header.camera)
    decoded = replace(_decode_jpeg(stream, canvas_px), format="dicom", notes=(), camera=header.camera)
    return replace(decoded, pixels=255 - decoded.pixels) if is_inverted(image) else decoded


def decode_png(png_bytes: bytes) -> NDArray[np.uint8]:
    """Decodes a canvas that this pipeline wrote: (height, width, 3) RGB."""
    pixels: NDArray[np.uint8] = cv2.cvtColor(_imdecode(png_bytes, cv2.IMREAD_COLOR_BGR), cv2.COLOR_BGR2RGB)
    return pixels


def decode_mask(data: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decodes a picture whose values mean something, at full size and upright.

    Returns:
        A grey PNG of 16 bits as it is stored, (height, width); anything else as `decode` gives it, (height, width, 3)
        RGB of 8 bits.

    Raises:
        ImageError: As `decode`; another picture of more than 8 bits, whose values would be rounded; or one that is
            black everywhere and still stores two values, in its transparency or as indices of a palette.
    """
    header = read_header(data)
    if header.bits <= _BYTE_BITS:
        pixels = decode(data, _FULL_SIDE).pixels
        if not (pixels.any() or _stores_one_value(data, header.format)):
            raise ImageError(
                "black everywhere, but its transparency or the indices of its palette mark some pixels",
                todo="save masks without transparency, white on black",
            )
        return pixels
    if header.format != "png" or header.channels != 1 or header.alpha:
        raise ImageError(
            f"a mask of {header.bits} bits a channel is read as grey PNG of 16 bits only", todo="save it with 8 bits"
        )
    stored = _imdecode(data, int(cv2.IMREAD_UNCHANGED))
    if stored.shape != (header.height, header.width):
        raise ImageError(f"corrupt file: its header says {(header.height, header.width)}, its pixels {stored.shape}")
    if header.orientation != UPRIGHT:
        raise ImageError("a mask of 16 bits with an orientation of its own", todo="save it upright")
    return stored


def _stores_one_value(data: bytes, kind: str) -> bool:
    """Whether a file stores the same for all of its pixels, before a palette and transparency are applied."""
    if kind in ("jpeg", "dicom"):  # neither has transparency; no palette is read
        return True
    if kind == "tiff":
        stored = stored_samples(data)
    else:
        grey = {"png": png.with_grey_palette, "bmp": with_grey_palette}.get(kind, bytes)
        stored = _imdecode(grey(data), int(cv2.IMREAD_UNCHANGED))
    return bool((stored == stored[0, 0]).all())


def _flags(header: Header) -> int:
    if header.alpha:
        # OpenCV has no flag for "upright alpha"; UNCHANGED keeps the channel and the depth, and rotates nothing.
        return int(cv2.IMREAD_UNCHANGED)
    depth = cv2.IMREAD_ANYDEPTH if header.bits == 16 else 0
    return int(cv2.IMREAD_COLOR_BGR | depth | cv2.IMREAD_IGNORE_ORIENTATION)


_HEADER_READERS = {
    "dicom": lambda data: read_dicom_image(data).header,
    "jpeg": read_jpeg_header,
    "png": png.read_png_header,
    "tiff": read_tiff_header,
    "bmp": read_bmp_header,
    "webp": read_webp_header,
}


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
