"""What a DICOM file states about its picture, checked before a pixel is decoded; and the encoded pixels.

One declared policy each:

| input | policy |
|---|---|
| ophthalmic, VL or external-camera photograph; secondary capture of modality OP | read, see `modality` |
| CT, MR, OPT (OCT), US, SR and every other modality | refused, the modality named |
| no pixels; float or double pixels; signed pixels; 1 or 32 bits allocated | refused |
| several frames | refused: it is not known which one is meant |
| native (little or big-endian, implicit, deflated), RLE | read by pydicom |
| JPEG baseline and extended, 8 bits | read by libjpeg at full, 1/2 or 1/4 size, as a JPEG file is |
| JPEG extended of 12 bits, JPEG lossless, JPEG-LS, JPEG 2000 | read by gdcm, in a process of its own |
| any other transfer syntax (video, high-throughput JPEG 2000, …) | refused, named |
| 8, 10, 12, 16 bits stored | full range of the stored bits → 8 bits: round(v · 255 / (2^bits − 1)); no window |
| RGB, YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT, PALETTE COLOR | RGB |
| MONOCHROME2; MONOCHROME1 | grey; grey, inverted |
| any other photometric interpretation | refused |
| colour space of a JPEG stream | its JFIF or Adobe mark, else subsampled chroma, else the header: see `compressed` |
| data set in another encoding than the meta information says | read as it is written |
| another codec than the transfer syntax says, or none | read where the pixels tell it, see `codec`; else refused |
| RGB or YBR and one sample a pixel, as OCT-Converter writes | read if there are three samples, else refused, named |
| 16 bits stored and no value above 255, as OCT-Converter writes | read as 8 bits |
| pixel data that end before the picture does; sequence without its end | refused as truncated |
| inverted, shifted or windowed display (VOI, rescale, overlays, EXIF inside a stream, ICC) | not applied |

pydicom's encapsulation functions are not used: they return a fragment that ends early as it is, and accept a sequence
without its delimiter. Of 6,026 truncations of one encapsulated frame they accept 6,014; `_join_fragments` refuses all.
"""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.camera import camera_name
from dr_pipeline.fundus.dicom.codec import (
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    syntax_of,
)
from dr_pipeline.fundus.dicom.elements import NATIVE, PIXELS, UNDEFINED_LENGTH, Elements, read_elements, text, value
from dr_pipeline.fundus.dicom.modality import require_photograph
from dr_pipeline.fundus.formats.exif import UPRIGHT
from dr_pipeline.fundus.formats.header import Header, check_size, several_pictures, truncated

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

_SYNTAXES = NATIVE | {"", RLE, JPEG_BASELINE, JPEG_EXTENDED} | JPEG_LOSSLESS | JPEG_LS | JPEG_2000
# Photometric interpretation (0028,0004), PS3.3 C.7.6.3.1.2 → samples per pixel.
_SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
# Colour models of some codecs alone, where the pixels turned out to be in another than the file states.
_OF_CODECS = {
    "YBR_FULL_422": {JPEG_BASELINE, JPEG_EXTENDED},
    "YBR_ICT": {JPEG_BASELINE, JPEG_EXTENDED, *JPEG_2000},
    "YBR_RCT": {JPEG_BASELINE, JPEG_EXTENDED, *JPEG_2000},
}
_PALETTE = range(0x00281101, 0x00281224)  # descriptors and data of the colour tables
_TAGS = (
    0x00080016,
    0x00080060,
    0x00080070,
    0x00081090,
    *range(0x00280002, 0x00280012),
    *(0x00280100, 0x00280101, 0x00280102, 0x00280103),
    *_PALETTE,
)


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One DICOM photograph with its pixels still encoded.

    Attributes:
        header: Sides, channels and stored bits.
        syntax: Transfer syntax that the pixels are in; "" is native of undeclared encoding.
        photometric: Photometric interpretation, one of the eight that are read.
        samples: Per pixel, 1 or 3.
        bits_allocated: 8 or 16.
        bits_stored: 1 to bits_allocated.
        planar: Whether native colour planes follow one another.
        little: Whether native pixels are little-endian.
        words: Whether native pixels are written as 16-bit words (OW); big-endian bytes are then swapped in pairs.
        pixels: The native pixels, or the compressed stream with its fragments joined.
        dataset: For the palette.
    """

    header: Header
    syntax: str
    photometric: str
    samples: int
    bits_allocated: int
    bits_stored: int
    planar: bool
    little: bool
    words: bool
    pixels: bytes
    dataset: "Dataset"

    @property
    def is_native(self) -> bool:
        """Whether the pixels are uncompressed."""
        return not self.syntax or self.syntax in NATIVE

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, 3)."""
        return (self.header.height, self.header.width, *((3,) if self.samples == 3 else ()))


def read_dicom_image(data: bytes) -> DicomImage:
    """Reads a DICOM file's header and locates its pixels; nothing is decoded.

    Raises:
        ImageError: See the table of policies above.
    """
    elements = read_elements(BytesIO(data), len(data), tags=_TAGS)
    dataset, stated_syntax = elements.dataset, elements.syntax
    require_photograph(text(dataset, "Modality"), text(dataset, "SOPClassUID"))
    if stated_syntax not in _SYNTAXES:
        raise ImageError(
            f"DICOM of an unsupported transfer syntax: {_syntax_name(stated_syntax)}", todo="export it as JPEG"
        )
    if not elements.pixels_tag:
        raise ImageError("DICOM without pixels (or truncated before them)", todo="copy the file again from its source")
    if elements.pixels_tag != PIXELS:
        raise ImageError("DICOM with floating-point pixels is no photograph")
    frames = _integer(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise several_pictures(f"DICOM of {frames} frames")
    photometric = text(dataset, "PhotometricInterpretation")
    samples, allocated = _integer(dataset, "SamplesPerPixel"), _integer(dataset, "BitsAllocated")
    stored = _integer(dataset, "BitsStored", allocated)
    width, height = _integer(dataset, "Columns"), _integer(dataset, "Rows")
    # A converter of OCT volumes writes colour photographs with one sample a pixel (OCT-Converter 0.7, dicom.py).
    one_sample_of_three = samples == 1 and _SAMPLES.get(photometric) == 3
    samples = 3 if one_sample_of_three else samples
    channels = 3 if photometric == "PALETTE COLOR" else samples
    camera = camera_name(_text_or_empty(dataset, "Manufacturer"), _text_or_empty(dataset, "ManufacturerModelName"))
    header = Header("dicom", width, height, channels, stored, alpha=False, orientation=UPRIGHT, camera=camera)
    check_size(header)
    if photometric not in _SAMPLES or _SAMPLES[photometric] != samples:
        raise ImageError(f"DICOM of another photometric interpretation than is read, with {samples} samples a pixel")
    _require_bits(dataset, allocated, stored)
    words, encapsulated, pixels = _pixel_value(elements)
    native_bytes = width * height * samples * allocated // 8
    syntax = syntax_of(pixels, stated_syntax, encapsulated=encapsulated, native_bytes=native_bytes)
    if syntax != stated_syntax and photometric in _OF_CODECS and syntax not in _OF_CODECS[photometric]:
        raise ImageError(f"DICOM that says {photometric}, which its codec does not have: its colours are not known")
    if one_sample_of_three and syntax in NATIVE and len(pixels) not in (native_bytes, native_bytes + 1):
        raise ImageError(f"DICOM that says {photometric} and one sample a pixel: it is one or the other")
    return DicomImage(
        header=header,
        syntax=syntax,
        photometric=photometric,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        planar=_integer(dataset, "PlanarConfiguration", 0) == 1,
        little=elements.little,
        words=words,
        pixels=pixels,
        dataset=dataset,
    )


def _text_or_empty(dataset: "Dataset", keyword: str) -> str:
    """An element's text; a picture is read even where this cannot be."""
    try:
        return text(dataset, keyword)
    except ImageError:
        return ""


def _require_bits(dataset: "Dataset", allocated: int, stored: int) -> None:
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise ImageError(f"DICOM with {stored} of {allocated} bits a sample is not read")
    if _integer(dataset, "HighBit", stored - 1) != stored - 1:
        raise ImageError("DICOM whose samples do not lie in the low bits is not read")
    if _integer(dataset, "PixelRepresentation", 0):
        raise ImageError("DICOM with signed samples is no photograph")


def _syntax_name(syntax: str) -> str:
    """The standard's name; never the file's own text."""
    from dr_pipeline.fundus.dicom.quiet_pydicom import UID

    name = UID(syntax).name
    return "a private or unknown one" if name == syntax else name


def _integer(dataset: "Dataset", keyword: str, default: int | None = None) -> int:
    number = value(dataset, keyword)
    if number is None and default is not None:
        return default
    if not isinstance(number, int):
        raise ImageError(f"corrupt DICOM header: {keyword} is {'absent' if number is None else 'no whole number'}")
    return int(number)


def _pixel_value(elements: Elements) -> tuple[bool, bool, bytes]:
    """Reads the pixel element at which `elements.stream` is positioned.

    Returns:
        Whether it consists of 16-bit words, whether it is encapsulated, and its value: the bytes as they are, or the
        joined fragments of the one frame.

    Raises:
        ImageError: It ends early, or holds no frame or several.
    """
    stream, order = elements.stream, "<" if elements.little else ">"
    head = stream.read(8)
    if len(head) < 8:
        raise truncated("DICOM")
    representation = b"OW" if elements.implicit else head[4:6]
    if elements.implicit:
        (length,) = struct.unpack(f"{order}I", head[4:])
    elif representation in (b"OB", b"OW", b"UN"):
        (length,) = struct.unpack(f"{order}I", _require_length(stream.read(4), 4))
    else:
        raise ImageError("corrupt DICOM file: its pixels are of no known representation")
    if length == UNDEFINED_LENGTH:
        return False, True, _join_fragments(stream.read())
    return representation == b"OW", False, _require_length(stream.read(length), length)


def _join_fragments(data: bytes) -> bytes:
    """Joins the fragments of the one frame (PS3.5, A.4): items after the offset table, up to the delimiter."""
    position, items = 0, []
    while True:
        if len(data) < position + 8:
            raise truncated("DICOM")
        group, element, length = struct.unpack_from("<HHI", data, position)
        if (group, element) == (0xFFFE, 0xE0DD):
            break
        if (group, element) != (0xFFFE, 0xE000) or length == UNDEFINED_LENGTH:
            raise ImageError("corrupt DICOM file: no fragment where one must be", todo="copy the file again")
        items.append(_require_length(data[position + 8 : position + 8 + length], length))
        position += 8 + length
    if not items or not any(items[1:]):
        raise ImageError("DICOM without pixels: its frame is empty", todo="copy the file again from its source")
    if len(items[0]) > 4:  # one 32-bit offset per frame
        raise several_pictures(f"DICOM of {len(items[0]) // 4} frames")
    return b"".join(items[1:])


def _require_length(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise truncated("DICOM")
    return data
