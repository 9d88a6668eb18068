"""Reads a DICOM file's elements up to its pixels, with every length checked against the file's."""

import io
import re
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.recognise import PREAMBLE_BYTES
from dr_pipeline.fundus.formats.header import Header, refuse_size, truncated

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF
# What a header may inflate to before its picture's size is known; cameras write some kilobytes.
_MAX_HEADER_BYTES = 64_000_000
# An empty element, or an empty item of a sequence, takes 8 bytes of a file and microseconds to read, so that a few
# megabytes could take minutes; cameras write some hundreds of elements, of up to three reads each.
_MAX_READS = 60_000


@dataclass(frozen=True, eq=False)
class Elements:
    """A DICOM file up to its pixels.

    Attributes:
        dataset: pydicom's; never to be printed or logged.
        syntax: The transfer syntax's UID; "" where the file does not say and its encoding was told from its bytes.
        implicit: Whether value representations are left out.
        little: Whether it is little-endian.
        pixels_tag: Of the pixel element; 0 where there is none.
        stream: The data set's bytes, inflated where they were deflated, positioned at the pixel element.
    """

    dataset: "Dataset"
    syntax: str
    implicit: bool
    little: bool
    pixels_tag: int
    stream: BinaryIO


def read_elements(file: BinaryIO, size: int, *, tags: Collection[int] | None = None) -> Elements:
    """Reads the file meta information and the data set, and stops at the pixels.

    Args:
        file: At its beginning; left open.
        size: Of the file, bytes.
        tags: The elements wanted; None is all.

    Raises:
        ImageError: The file ends early, or its elements make no sense. The message quotes no value.
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
        # pydicom raises what it meets: struct.error, EOFError, KeyError, RecursionError, … and quotes values.
        raise ImageError(f"corrupt DICOM header ({type(error).__name__})", todo="copy the file anew") from None


def value(elements: "Dataset", keyword: str) -> Any:
    """One element's value; None where it is absent, empty or cannot be read."""
    try:
        found = elements.get(keyword)
    except Exception:  # see read_elements
        raise ImageError(f"corrupt DICOM header: {keyword} cannot be read") from None
    return None if found is None or found == "" else found


def text(elements: "Dataset", keyword: str) -> str:
    """One element as plain text: its first value, control characters and outer blanks dropped; "" where absent."""
    found = value(elements, keyword)
    if found is not None and not isinstance(found, str) and hasattr(found, "__getitem__"):
        found = found[0] if len(found) else ""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", "" if found is None else str(found)).strip()


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
    seen_end, pixels_tag = stream.tell(), 0

    def at_pixels(tag: int, _vr: str | None, length: int) -> bool:
        nonlocal seen_end, pixels_tag
        if tag in (FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS):
            pixels_tag = int(tag)
            return True
        seen_end = stream.tell() + (0 if length == UNDEFINED_LENGTH else length)
        if seen_end > size:
            raise truncated("DICOM")
        return False

    wanted: Any = None if tags is None else list(tags)
    dataset = read_dataset(_metered(stream), implicit, little, stop_when=at_pixels, specific_tags=wanted)
    if not pixels_tag and stream.tell() < seen_end:
        raise truncated("DICOM")
    return Elements(dataset, syntax, implicit, little, pixels_tag, stream)


class _Metered:
    """A file, shared with whoever else holds it, that refuses a header of endless elements or items."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._read, self._reads = file.read, 0

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        if self._reads > _MAX_READS:
            raise ImageError("DICOM header of more elements than any camera writes")
        return self._read(size)


def _metered(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _Metered(file))  # pydicom reads, seeks and tells, no more


def _encoding(syntax: str, stream: BinaryIO) -> tuple[bool, bool]:
    """Implicit, and little-endian: as the syntax says, or from the first element where the file does not say."""
    if syntax:
        return syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    first = stream.read(6)
    stream.seek(-len(first), io.SEEK_CUR)
    return not re.fullmatch(rb"[A-Z]{2}", first[4:]), not first.startswith(b"\0")


def _inflate(packed: bytes) -> bytes:
    """Inflates a deflated data set (PS3.5, A.5), up to the largest photograph that is read.

    A bomb of a thousandfold ratio stops at the header's allowance unless the header names a picture that needs more.
    """
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        head = machine.decompress(packed, _MAX_HEADER_BYTES)
        if not machine.unconsumed_tail and not machine.eof:
            raise truncated("DICOM")
        if machine.eof:
            return head
        rest = machine.decompress(machine.unconsumed_tail, _announced_bytes(head))
    except zlib.error:
        raise ImageError("corrupt DICOM file: it does not inflate", todo="copy the file anew") from None
    if not machine.eof:
        raise ImageError("deflated DICOM that holds more bytes than its picture needs")
    return head + rest


def _announced_bytes(head: bytes) -> int:
    """The bytes of pixels that an inflated header announces, refused where they are too many."""
    from dr_pipeline.fundus.dicom.quiet_pydicom import read_dataset

    stream = _metered(io.BytesIO(head))
    elements = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag >= FLOAT_PIXELS)
    sides: list[Any] = [elements.get(name) for name in ("Columns", "Rows", "SamplesPerPixel", "BitsAllocated")]
    if not all(isinstance(side, int) for side in sides):
        raise ImageError("corrupt DICOM header: it does not say how large its picture is")
    width, height, samples, bits = sides
    refuse_size(Header("dicom", width, height, samples, bits, alpha=False, orientation=1))
    return int(width * height * samples * bits // 8) + _MAX_HEADER_BYTES
