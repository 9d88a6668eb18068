"""What a DICOM file says of its picture, checked before a pixel is decoded.

One declared policy each:

| what | policy |
|---|---|
| ophthalmic, VL or external-camera photograph; secondary capture of modality OP | read, see `dicom_kind` |
| CT, MR, OPT (OCT), US, SR and every other modality | refused, the modality named |
| no pixels; float or double pixels; signed pixels; 1 or 32 bits allocated | refused |
| several frames | refused: which is meant is not known |
| native (little or big-endian, implicit, deflated), RLE | read, by numpy and pydicom |
| JPEG baseline and extended, 8 bits | read by libjpeg at full, 1/2 or 1/4 size, as a JPEG file is |
| JPEG extended of 12 bits, JPEG lossless, JPEG-LS, JPEG 2000 | read by gdcm, in a process of its own |
| any other transfer syntax (video, high-throughput JPEG 2000, …) | refused, named |
| 8, 10, 12, 16 bits stored | full range of the stored bits → 8 bits: round(v · 255 / (2^bits − 1)); no window |
| RGB, YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT, PALETTE COLOR | RGB |
| MONOCHROME2; MONOCHROME1 | grey; grey, inverted |
| any other photometric interpretation | refused |
| colour space of a JPEG stream | its JFIF or Adobe mark, else subsampled chroma, else the header: see `dicom_jpeg` |
| pixel data that end before the picture does; sequence without its end | refused as truncated |
| inverted, shifted or windowed display (VOI, rescale, overlays, EXIF inside a stream, ICC) | not applied |
"""

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.dataset import (
    NATIVE,
    PIXELS,
    read_elements,
    text,
    value,
)
from dr_pipeline.fundus.dicom.modality import refuse_other_kinds
from dr_pipeline.fundus.dicom.pixel_data import pixel_value
from dr_pipeline.fundus.formats.exif import UPRIGHT
from dr_pipeline.fundus.formats.header import Header, refuse_size, several_pictures

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
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
_PALETTE = range(0x00281101, 0x00281224)  # descriptors and data of the colour tables
_WANTED = (
    0x00080016,
    0x00080060,
    *range(0x00280002, 0x00280012),
    *(0x00280100, 0x00280101, 0x00280102, 0x00280103),
    *_PALETTE,
)


@dataclass(frozen=True, eq=False)
class Picture:
    """One DICOM photograph, its pixels still encoded.

    Attributes:
        header: Its sides, channels and stored bits.
        syntax: Transfer syntax; "" is native of undeclared encoding.
        photometric: One of the eight that are read.
        samples: Per pixel, 1 or 3.
        bits_allocated: 8 or 16.
        bits_stored: 1 to bits_allocated.
        planar: Whether native colour planes lie one after another.
        little: Whether native pixels are little-endian.
        words: Whether native pixels are written as 16-bit words (OW): big-endian bytes are then swapped in pairs.
        pixels: The native pixels; or the compressed stream, its fragments joined.
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


def read_picture(data: bytes) -> Picture:
    """Reads a DICOM file's header and finds its pixels; nothing is decoded.

    Raises:
        ImageError: See the table of policies above.
    """
    elements = read_elements(BytesIO(data), len(data), tags=_WANTED)
    dataset, syntax = elements.dataset, elements.syntax
    refuse_other_kinds(text(dataset, "Modality"), text(dataset, "SOPClassUID"))
    if syntax not in _SYNTAXES:
        raise ImageError(f"DICOM of an unsupported transfer syntax: {_syntax_name(syntax)}", todo="export it as JPEG")
    if not elements.pixels_tag:
        raise ImageError("DICOM without pixels (or truncated before them)", todo="copy the file anew from its source")
    if elements.pixels_tag != PIXELS:
        raise ImageError("DICOM with floating-point pixels is no photograph")
    _refuse_frames(dataset)
    photometric = text(dataset, "PhotometricInterpretation")
    samples, allocated = _integer(dataset, "SamplesPerPixel"), _integer(dataset, "BitsAllocated")
    stored = _integer(dataset, "BitsStored", allocated)
    width, height = _integer(dataset, "Columns"), _integer(dataset, "Rows")
    channels = 3 if photometric == "PALETTE COLOR" else samples
    header = Header("dicom", width, height, channels, stored, alpha=False, orientation=UPRIGHT)
    refuse_size(header)
    if photometric not in _SAMPLES or _SAMPLES[photometric] != samples:
        raise ImageError(f"DICOM of another photometric interpretation than is read, with {samples} samples a pixel")
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise ImageError(f"DICOM with {stored} of {allocated} bits a sample is not read")
    if _integer(dataset, "HighBit", stored - 1) != stored - 1:
        raise ImageError("DICOM whose samples do not lie in the low bits is not read")
    if _integer(dataset, "PixelRepresentation", 0):
        raise ImageError("DICOM with signed samples is no photograph")
    is_words, stream = pixel_value(elements)
    return Picture(
        header=header,
        syntax=syntax,
        photometric=photometric,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        planar=_integer(dataset, "PlanarConfiguration", 0) == 1,
        little=elements.little,
        words=is_words,
        pixels=stream,
        dataset=dataset,
    )


def _syntax_name(syntax: str) -> str:
    """The standard's name; never the file's own text."""
    from dr_pipeline.fundus.dicom.quiet_pydicom import UID

    name = UID(syntax).name
    return "a private or unknown one" if name == syntax else name


def _integer(dataset: "Dataset", keyword: str, absent: int | None = None) -> int:
    found = value(dataset, keyword)
    if found is None and absent is not None:
        return absent
    if not isinstance(found, int):
        raise ImageError(f"corrupt DICOM header: {keyword} is {'absent' if found is None else 'no whole number'}")
    return int(found)


def _refuse_frames(dataset: "Dataset") -> None:
    frames = _integer(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise several_pictures(f"DICOM of {frames} frames")
