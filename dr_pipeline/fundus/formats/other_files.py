"""What a file is that is no photograph, in a word or two by its first bytes: for counts of what was left aside."""

import stat
from pathlib import Path

from dr_pipeline.fundus.formats.recognise import HEAD_BYTES

# Pictures that are not read, by the bytes at their start.
_UNREAD_PICTURES = {
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"FUJIFILMCCD-RAW": "camera raw",
    b"IIRO": "camera raw",
    b"IIU\0": "camera raw",
}
# Of ISO base media files (`ftyp` at byte 4) by the brand at byte 8; other brands are films.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
UNREAD_PICTURES = frozenset({*_UNREAD_PICTURES.values(), "HEIC", "AVIF"})
_OTHERS = {
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP or Office",
    b"PK\x05\x06": "ZIP or Office",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "Office (before 2007)",
    b"\x1f\x8b": "compressed",
    b"7z\xbc\xaf\x27\x1c": "compressed",
    b"Rar!": "compressed",
    b"BZh": "compressed",
    b"\xfd7zXZ\0": "compressed",
    b"\x28\xb5\x2f\xfd": "compressed",
    b"RIFF": "film or sound",
    b"\x1aE\xdf\xa3": "film or sound",
    b"\0\0\1\xba": "film or sound",
    b"SQLite format 3\0": "database",
}
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")


def describe_other(head: bytes) -> str:
    """What a file that is not read is, in a word or two for a count: "text", "HEIC", "PDF" …, "unknown".

    Args:
        head: The file, or its first `HEAD_BYTES`.
    """
    if not head:
        return "empty"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "HEIC" if brand in _HEIF_BRANDS else "AVIF" if brand in _AVIF_BRANDS else "film or sound"
    for start, kind in (*_UNREAD_PICTURES.items(), *_OTHERS.items()):
        if head.startswith(start):
            return kind
    return "text" if _is_text(head) else "unknown"


def read_head(path: Path) -> bytes | None:
    """The first `HEAD_BYTES` of a file; None if it is not a regular file or cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would block for ever
            return None
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return None


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, as spreadsheets write it
        return True
    return all(byte >= ord(" ") or byte in _TEXT_CONTROLS for byte in head)
