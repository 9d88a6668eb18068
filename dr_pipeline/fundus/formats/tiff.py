"""TIFF and BigTIFF: tifffile reads the tags, OpenCV (libtiff) the pixels.

OpenCV 5.0 returns other pixels than a file holds, without an error, where samples of more than 8 bits lie in separate
planes (tifffile reads those), where white is zero in more than 8 bits (inverted here), and where it does not know the
compression (refused here). In a picture of 8 bits libtiff has already put unassociated alpha over black.
"""

import logging
import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.camera import camera_name
from dr_pipeline.fundus.formats.exif import MAKER_TAG, MODEL_TAG, UPRIGHT, apply_orientation
from dr_pipeline.fundus.formats.header import Header, check_size, require_readable, several_pictures, truncated
from dr_pipeline.fundus.opencv import cv2

if TYPE_CHECKING:
    from tifffile import TiffPage

Samples = NDArray[Any]  # of 8 or 16 bits, unsigned

_MAX_PAGES = 1000
_PHOTOMETRIC_TAG, _ORIENTATION_TAG, _EXTRA_SAMPLES_TAG = 262, 274, 338
_BLACK_IS_ZERO, _PALETTE = 1, 3
_WHITE_IS_ZERO, _SEPARATE_PLANES, _UNASSOCIATED_ALPHA, _UNSIGNED = 0, 2, 2, 1
_BYTE_BITS = 8
# PhotometricInterpretation → (colour channels, samples): two greys, RGB, palette, CMYK, YCbCr.
_COLOURS = {0: (1, 1), 1: (1, 1), 2: (3, 3), 3: (3, 1), 5: (4, 4), 6: (3, 3)}
# Bits a sample that OpenCV scales to 8 or 16; with fewer or odd ones it fails.
_PACKED_DEPTHS = frozenset({10, 12, 14})
_DEPTHS = _PACKED_DEPTHS | {1, 8, 16}
# None; CCITT of 1 bit; LZW; old and new JPEG; deflate, of two numbers; PackBits. For some others OpenCV returns noise.
_UNCOMPRESSED = 1
_COMPRESSIONS = frozenset({_UNCOMPRESSED, 2, 3, 4, 5, 6, 7, 8, 32946, 32773})


def read_tiff_header(data: bytes) -> Header:
    """Reads the tags of the one picture; further full-size pages are refused, thumbnails are not.

    Raises:
        ImageError: The file ends early, has several pages or a layout that is not read, or its samples are not
            unsigned integers.
    """
    _, page = _picture(data)
    return _header(page)


def decode_tiff(data: bytes) -> tuple[NDArray[np.uint8], Header]:
    """Decodes the one picture.

    Returns:
        Upright, (height, width) grey or (height, width, 3) RGB, over black where it is transparent; and its header.

    Raises:
        ImageError: See `read_tiff_header`; or the pixels cannot be decoded.
    """
    number, page = _picture(data)
    header = _header(page)
    _require_layout(page, header)
    if _is_deep_and_separate(page):
        samples = apply_orientation(_by_tifffile(page), header.orientation)
    else:
        samples = _by_opencv(data, number)
    colour = _over_black(samples, page)
    if colour.dtype == np.uint16:
        if page.photometric == _WHITE_IS_ZERO:
            colour = 65535 - colour
        colour = cv2.convertScaleAbs(colour, alpha=1 / 257)  # rounds to the nearest
    return np.ascontiguousarray(colour, np.uint8), header


def stored_samples(data: bytes) -> Samples:
    """What the one picture stores of each pixel: indices instead of a palette's colours, and transparency as well.

    Args:
        data: The file, which `decode_tiff` decodes.

    Returns:
        (height, width) or (height, width, samples).

    Raises:
        ImageError: A grey picture's transparency lies in a compression that is not read.
    """
    number, page = _picture(data)
    if page.photometric == _PALETTE:
        tag = page.tags[_PHOTOMETRIC_TAG]
        grey = struct.pack(f"{page.parent.byteorder}H", _BLACK_IS_ZERO)
        data = data[: tag.valueoffset] + grey + data[tag.valueoffset + len(grey) :]
    elif _COLOURS[page.photometric][1] == 1 and page.samplesperpixel > 1:  # OpenCV drops it
        return _by_tifffile(page)
    return _by_opencv(data, number)


def _picture(data: bytes) -> tuple[int, "TiffPage"]:
    """The number and the tags of the one page that is neither a thumbnail nor a mask."""
    try:
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # its messages quote tags
        pages = tifffile.TiffFile(BytesIO(data)).pages
        count = len(pages)
        looked_at = [cast("TiffPage", pages[number]) for number in range(min(count, _MAX_PAGES))]
        full = [(number, page) for number, page in enumerate(looked_at) if not page.is_reduced and not page.is_mask]
    except ModuleNotFoundError as error:
        raise ImageError(
            f"TIFF is read with {error.name}, which is not installed", todo="pip install tifffile"
        ) from None
    except Exception as error:  # of many kinds
        raise ImageError(f"truncated or corrupt TIFF file ({type(error).__name__})", todo="copy it again") from None
    if len(full) > 1 or count > _MAX_PAGES:
        raise several_pictures(f"TIFF of {count} pages")
    if not any(page.imagewidth for page in looked_at):
        raise ImageError("truncated or corrupt TIFF file: it holds no picture", todo="copy the file again")
    if not full:
        raise ImageError("TIFF without a picture of full size", todo="export the photograph as a plain TIFF or PNG")
    return full[0]


def _header(page: "TiffPage") -> Header:
    colours, samples = _COLOURS.get(page.photometric or 0, (0, 0))
    if page.sampleformat != _UNSIGNED:
        raise ImageError("TIFF with signed or floating-point samples is no photograph")
    tag = page.tags.get(_ORIENTATION_TAG)
    orientation = tag.value if tag is not None and tag.value in range(1, 9) else UPRIGHT
    header = Header(
        "tiff",
        page.imagewidth,
        page.imagelength,
        colours,
        page.bitspersample,
        alpha=page.samplesperpixel > samples,
        orientation=int(orientation),
        camera=camera_name(_text(page, MAKER_TAG), _text(page, MODEL_TAG)),
    )
    check_size(header)
    return header


def _text(page: "TiffPage", tag: int) -> str:
    found = page.tags.get(tag)
    return found.value if found is not None and isinstance(found.value, str) else ""


def _require_layout(page: "TiffPage", header: Header) -> None:
    """Raises ImageError for a layout that is not read, or pixels that lie behind the file's end."""
    if header.channels == 0:
        raise ImageError(f"TIFF of colour model {int(page.photometric or 0)} is not read", todo="export it as RGB")
    require_readable(header)
    if int(page.compression) not in _COMPRESSIONS:
        raise ImageError(f"TIFF with compression {int(page.compression)} is not read", todo="save it uncompressed")
    samples, expected = page.samplesperpixel, _COLOURS[page.photometric][1]
    grey_with_alpha = header.channels == 1 and samples > expected
    if (
        header.bits not in _DEPTHS
        or samples > expected + 1
        or (header.bits in _PACKED_DEPTHS and (grey_with_alpha or _is_deep_and_separate(page)))
    ):
        raise ImageError(f"TIFF with {samples} samples of {header.bits} bits is not read", todo="export it as RGB")
    if _is_deep_and_separate(page) and page.compression != _UNCOMPRESSED:
        raise ImageError(
            f"TIFF with {header.bits} bits in separate, compressed planes is not read", todo="save it uncompressed"
        )
    ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
    if not page.dataoffsets or max(ends) > page.parent.filehandle.size:
        raise truncated("TIFF")


def _is_deep_and_separate(page: "TiffPage") -> bool:
    return page.planarconfig == _SEPARATE_PLANES and page.samplesperpixel > 1 and page.bitspersample > _BYTE_BITS


def _over_black(samples: Samples, page: "TiffPage") -> Samples:
    """The colours without a fourth sample, multiplied by it where it is unassociated alpha that libtiff left alone.

    A sample of unspecified meaning is no alpha; one that no tag describes is, as Pillow reads it.
    """
    if samples.ndim == 2 or samples.shape[2] == 3:
        return samples
    colour: Samples = samples[..., :3]
    described = page.tags.get(_EXTRA_SAMPLES_TAG)
    if described is None or (samples.dtype == np.uint16 and page.extrasamples[0] == _UNASSOCIATED_ALPHA):
        alpha = samples[..., 3:] / np.float32(np.iinfo(samples.dtype).max)
        colour = np.rint(colour * alpha).astype(samples.dtype)
    return colour


def _by_tifffile(page: "TiffPage") -> Samples:
    try:
        samples = page.asarray()
    except Exception as error:  # of many kinds
        raise ImageError(f"cannot be decoded: corrupt TIFF ({type(error).__name__})", todo="copy it again") from None
    if page.planarconfig == _SEPARATE_PLANES:
        samples = np.moveaxis(samples.reshape(page.samplesperpixel, page.imagelength, page.imagewidth), 0, -1)
    return np.ascontiguousarray(samples)


def _by_opencv(data: bytes, number: int) -> Samples:
    """RGB or grey samples, upright: OpenCV applies a TIFF's orientation whatever the flags."""
    encoded = np.frombuffer(data, np.uint8)
    try:
        _, pages = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED, range=(number, number + 1))
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"cannot be decoded: {error}") from None
    if not pages or pages[0].dtype not in (np.uint8, np.uint16):
        raise ImageError("cannot be decoded: the file is truncated or corrupt", todo="copy the file again")
    samples: Samples = pages[0]
    if samples.ndim == 3:
        samples = np.ascontiguousarray(samples[..., [2, 1, 0, 3][: samples.shape[2]]])
    return samples
