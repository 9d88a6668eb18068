"""Reads a DICOM file's data elements up to its pixels; every length is checked against the file's."""

import io
import re
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.recognise import PREAMBLE_BYTES
from dr_pipeline.fundus.formats.header import Header, check_size, truncated

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF
# Limit on what a deflated header may inflate to before its picture's size is known; cameras write some kilobytes.
_MAX_HEADER_BYTES = 64_000_000
# An empty element, or an empty item of a sequence, takes 8 bytes of a file and microseconds to read, so that a few
# megabytes could take minutes; cameras write some hundreds of elements, of up to three reads each.
_MAX_READS = 60_000


@dataclass(frozen=True, eq=False)
class Elements:
    """A DICOM file up to its pixels.

    Attributes:
        dataset: pydicom's; must never be printed or logged, because it holds a patient's data.
        syntax: The transfer syntax's UID; "" if the file does not state it and its encoding was inferred.
        implicit: Whether value representations are left out, by the data set itself.
        little: Whether it is little-endian, by the data set itself.
        pixels_tag: Of the pixel element; 0 if there is none.
        stream: The data set's bytes, inflated if necessary, positioned at the pixel element.
    """

    dataset: "Dataset"
    syntax: str
    implicit: bool
    little: bool
    pixels_tag: int
    stream: BinaryIO


def read_elements(file: BinaryIO, size: int, *, tags: Collection[int] | None = None) -> Elements:
    """Reads the file meta information and the data set up to the pixels.

    Args:
        file: Positioned at its beginning; left open.
        size: Of the file, bytes.
        tags: The elements to read; None reads all.

    Raises:
        ImageError: The file ends early, or its elements are corrupt. The message quotes no value.
    """
    try:
        return _read(file, size, tags)
    except ImageError:
        raise
    except ModuleNotFoundError as error:
        raise ImageError(
            f"DICOM is read with {error.name}, which is not installed", todo="pip install pydicom"
        ) from None
    except Exception as error:
        # pydicom raises errors of many kinds (struct.error, EOFError, KeyError, RecursionError, …) that quote values.
        raise ImageError(f"corrupt DICOM header ({type(error).__name__})", todo="copy the file again") from None


def value(dataset: "Dataset", keyword: str) -> Any:
    """One element's value; None if it is absent or empty.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        element = dataset.get(keyword)
    except Exception:  # see read_elements
        raise ImageError(f"corrupt DICOM header: {keyword} cannot be read") from None
    return None if element is None or element == "" else element


def text(dataset: "Dataset", keyword: str) -> str:
    """One element's first value as plain text, without control characters and outer blanks; "" if absent."""
    first = value(dataset, keyword)
    if first is not None and not isinstance(first, str) and hasattr(first, "__getitem__"):
        first = first[0] if len(first) else ""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", "" if first is None else str(first)).strip()


def _read(file: BinaryIO, size: int, tags: Collection[int] | None) -> Elements:
    from dr_pipeline.fundus.dicom.quiet_pydicom import read_dataset

    file.seek(PREAMBLE_BYTES if file.read(PREAMBLE_BYTES)[128:] == b"DICM" else 0)
    meta = read_dataset(_metered(file), False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    syntax = str(meta.get("TransferSyntaxUID") or "")
    stream = file
    if syntax == DEFLATED:
        inflated = _inflate(file.read())
        stream, size = io.BytesIO(inflated), len(inflated)
    implicit, little = _encoding(syntax, stream)
    last_end, pixels_tag = stream.tell(), 0

    def at_pixels(tag: int, _vr: str | None, length: int) -> bool:
        nonlocal last_end, pixels_tag
        if tag in (FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS):
            pixels_tag = int(tag)
            return True
        last_end = stream.tell() + (0 if length == UNDEFINED_LENGTH else length)
        if last_end > size:
            raise truncated("DICOM")
        return False

    specific_tags: Any = None if tags is None else list(tags)
    dataset = read_dataset(_metered(stream), implicit, little, stop_when=at_pixels, specific_tags=specific_tags)
    if not pixels_tag and stream.tell() < last_end:
        raise truncated("DICOM")
    return Elements(dataset, syntax, implicit, little, pixels_tag, stream)


class _Metered:
    """A view of an open file that refuses a header of endless elements or items."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._read, self._reads = file.read, 0

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        if self._reads > _MAX_READS:
            raise ImageError("DICOM header of more elements than any camera writes")
        return self._read(size)


def _metered(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _Metered(file))  # pydicom calls read, seek and tell only


def _encoding(syntax: str, stream: BinaryIO) -> tuple[bool, bool]:
    """(implicit, little-endian) as the first element is written, which some converters contradict in the meta header.

    Of a data set that does not begin with group 0008 the transfer syntax gives the byte order.
    """
    first = stream.read(6)
    stream.seek(-len(first), io.SEEK_CUR)
    little = {b"\x08\0": True, b"\0\x08": False}.get(first[:2], syntax != EXPLICIT_BIG)
    return not re.fullmatch(rb"[A-Z]{2}", first[4:]), little


def _inflate(packed: bytes) -> bytes:
    """Inflates a deflated data set (PS3.5, A.5), up to the largest photograph that is read.

    A decompression bomb stops at the header's limit, unless the header announces a picture that needs more.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        head = inflater.decompress(packed, _MAX_HEADER_BYTES)
        if not inflater.unconsumed_tail and not inflater.eof:
            raise truncated("DICOM")
        if inflater.eof:
            return head
        rest = inflater.decompress(inflater.unconsumed_tail, _announced_bytes(head))
    except zlib.error:
        raise ImageError("corrupt DICOM file: it does not inflate", todo="copy the file again") from None
    if not inflater.eof:
        raise ImageError("deflated DICOM that holds more bytes than its picture needs")
    return head + rest


def _announced_bytes(head: bytes) -> int:
    """The number of bytes that the picture of an inflated header needs; ImageError if its sides are out of range."""
    from dr_pipeline.fundus.dicom.quiet_pydicom import read_dataset

    stream = _metered(io.BytesIO(head))
    elements = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag >= FLOAT_PIXELS)
    sides: list[Any] = [elements.get(name) for name in ("Columns", "Rows", "SamplesPerPixel", "BitsAllocated")]
    if not all(isinstance(side, int) for side in sides):
        raise ImageError("corrupt DICOM header: it does not say how large its picture is")
    width, height, samples, bits = sides
    check_size(Header("dicom", width, height, samples, bits, alpha=False, orientation=1))
    return int(width * height * samples * bits // 8) + _MAX_HEADER_BYTES
