"""Lists and reads zip and tar archives, whose members are never written to disk under their own names.

A member that cannot be trusted or read (a name that leads out of the archive, a link, a device, an encrypted or sparse
file, one that expands as no photograph does) is an entry with that problem. A compressed tar can only be read from its
beginning, so each process that reads one expands it, once, into an unnamed temporary file.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.files import printable
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.fundus.limits import MAX_FILE_BYTES
from dr_pipeline.scoring.sources.entry import Entry

_ZIP_STARTS = (b"PK\3\4", b"PK\5\6")  # of a member, of an empty archive's end
_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_BLOCK = 512  # of tar
# Photographs are compressed already; an uncompressed one with a black border shrinks to a third. Below the floor, what
# an archive expands to does no harm.
_MAX_EXPANSION = 100
_EXPANSION_FLOOR = 1 << 28
_CHUNK = 1 << 20
_CORRUPT = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    UnicodeDecodeError,  # a name in a zip that is not UTF-8, although the zip says so
)
_DRIVE = re.compile(r"[A-Za-z]:")


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, a tar or a compressed tar, by content; False where it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_BLOCK)
        if head[:2] in _OPENERS:
            with _OPENERS[head[:2]](path) as expanded:
                head = expanded.read(_BLOCK)
    except (OSError, *_CORRUPT):
        return False
    return head.startswith(_ZIP_STARTS) or head[257:262] == b"ustar"


def list_members(path: Path, *, rules: FolderRules) -> Iterator[Entry]:
    """Lists the members of an archive that are files, in the archive's order.

    A name that occurs again gets a number, so that each member has a name of its own. Memory grows with the number of
    members, by about 100 bytes in a tar and 1 kB in a zip, not with their sizes.

    Raises:
        DataError: The archive cannot be read, or expands as no photographs do.
    """
    names = _Names()
    try:
        stamp = _stamp(path.stat())
        members = _zip_members(path) if _is_zip(path) else _tar_members(path, stamp)
        for name, place, problem in members:
            relative = names.unique(_relative(name))
            left_out = rules.left_out_on_the_way(relative)
            unsafe = "its name leads out of the archive" if _leads_out(relative) else ""
            yield Entry(relative, str(path), problem or unsafe, left_out, member=f"{place} {stamp}")
    except (OSError, *_CORRUPT) as error:
        raise DataError(
            f"the archive cannot be read: {_describe(error)}", where=printable(path), todo="copy it again"
        ) from None


def read_member(path: Path, member: str) -> bytes:
    """The bytes of one member.

    Args:
        path: The archive.
        member: As `list_members` wrote it.

    Raises:
        ImageError: The archive is missing, was changed, or is corrupt there; the member is encrypted or too large.
    """
    kind, place, stamp = member.split(" ")
    try:
        if _stamp(path.stat()) != stamp:
            raise ImageError("the archive changed since it was listed", where=str(path))
        return _read_zip(path, stamp, int(place)) if kind == "zip" else _read_tar(path, stamp, place)
    except FileNotFoundError:
        raise ImageError("the archive is missing", where=str(path)) from None
    except (OSError, RuntimeError, *_CORRUPT) as error:
        raise ImageError(f"cannot be read from the archive: {_describe(error)}", where=str(path)) from None


def _is_zip(path: Path) -> bool:
    """Whether the file begins as a zip does."""
    with path.open("rb") as stream:
        return stream.read(4) in _ZIP_STARTS


def _zip_members(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name, place and problem of each file."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > max(_EXPANSION_FLOOR, _MAX_EXPANSION * path.stat().st_size):
        raise _bomb(path)
    for number, member in enumerate(members):
        if not member.filename.endswith("/"):  # a folder; is_dir fails on an empty name
            yield member.filename, f"zip {number}", _zip_problem(member)


def _zip_problem(member: zipfile.ZipInfo) -> str:
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "a link in an archive, not followed"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "not a regular file"
    if member.flag_bits & 1:
        return "encrypted in the archive"
    if member.file_size > max(_EXPANSION_FLOOR, _MAX_EXPANSION * member.compress_size):
        return f"expands more than {_MAX_EXPANSION} times, as no photograph does"
    return _size_problem(member.file_size)


def _tar_members(path: Path, stamp: str) -> Iterator[tuple[str, str, str]]:
    """Name, place and problem of each file; where the archive is damaged, an entry for what follows."""
    with os.fdopen(os.dup(_tar_file(path, stamp).fileno()), "rb") as stream:
        archive = _open_tar(stream)
        problem, end = "", 0
        while True:
            try:
                member = archive.next()
            except Exception as error:  # in a damaged header, any number or name may be what tarfile does not expect
                problem = _describe(error)
                break
            if member is None:
                break
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps each, for a search by name
            if archive.offset <= end:  # a negative size leads back, and would list the same members for ever
                problem = "a header leads back"
                break
            end = archive.offset
            if not member.isdir():
                yield member.name, f"tar {member.offset_data}+{member.size}", _tar_problem(member)
        # A header that is damaged ends tarfile's listing as the archive's end does, which is a block of zeros.
        if problem or not _ends_in_zeros(stream, archive.offset):
            yield "end of the archive", "tar 0+0", f"the archive is damaged; what follows is lost {problem}".rstrip()


def _open_tar(stream: IO[bytes]) -> tarfile.TarFile:
    """Opens a tar, whose first header is read at once; raises TarError where that is damaged."""
    stream.seek(0)
    try:
        return tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape")
    except Exception as error:  # as for each further header
        raise tarfile.ReadError(_describe(error)) from None


def _ends_in_zeros(stream: IO[bytes], offset: int) -> bool:
    """Whether there is a block of zeros, and nothing else after it, such as a second archive."""
    stream.seek(offset)
    block = rest = stream.read(_BLOCK)
    while rest and not any(rest):
        rest = stream.read(_CHUNK)
    return len(block) == _BLOCK and not rest


def _tar_problem(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link in an archive, not followed"
    if not member.isreg():
        return "not a regular file"
    if member.issparse():
        return "a sparse file in an archive, not read"
    return _size_problem(member.size)


def _size_problem(size: int) -> str:
    return f"{size / 1e9:.1f} GB is too large for a photograph" if size > MAX_FILE_BYTES else ""


def _read_zip(path: Path, stamp: str, number: int) -> bytes:
    archive, members = _open_zip(path, stamp)
    with archive.open(members[number]) as stream:
        return stream.read()  # zipfile reads no more than the size that the listing has checked


@lru_cache(maxsize=2)
def _open_zip(path: Path, _stamp: str) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """The archive, whose list of members may take seconds to read, kept for the next member."""
    archive = zipfile.ZipFile(path)
    return archive, archive.infolist()


def _read_tar(path: Path, stamp: str, place: str) -> bytes:
    offset, size = map(int, place.split("+"))
    with os.fdopen(os.dup(_tar_file(path, stamp).fileno()), "rb") as stream:
        data = os.pread(stream.fileno(), size, offset)
    if len(data) != size:
        raise ImageError("the archive ends before the file does", where=str(path))
    return data


@lru_cache(maxsize=2)
def _tar_file(path: Path, _stamp: str) -> IO[bytes]:
    """The tar, kept open; expanded into an unnamed file where it is compressed."""
    plain = path.open("rb")
    if (start := plain.read(2)) not in _OPENERS:
        return plain
    with plain, _OPENERS[start](path) as compressed:
        return _expand(compressed, path)


def _expand(compressed: Any, path: Path) -> IO[bytes]:
    limit = max(_EXPANSION_FLOOR, _MAX_EXPANSION * path.stat().st_size)
    expanded = tempfile.TemporaryFile()  # noqa: SIM115 - kept open by the cache
    with suppress(EOFError):  # its end is lost; the listing says so where the tar ends
        while expanded.tell() <= limit and (chunk := compressed.read1(_CHUNK)):
            expanded.write(chunk)
    expanded.flush()
    if expanded.tell() > limit:
        raise _bomb(path)
    return expanded


def _bomb(path: Path) -> DataError:
    return DataError(
        f"the archive expands more than {_MAX_EXPANSION} times, as no photographs do",
        where=printable(path),
        todo="unpack it where you trust it, and score the folder",
    )


def _stamp(status: os.stat_result) -> str:
    """What shows that an archive is no longer the one that was listed."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _relative(name: str) -> str:
    """With forward slashes, also where Windows wrote the archive; `./a.jpg` is `a.jpg`."""
    return name.replace("\\", "/").removeprefix("./") or "file"


def _leads_out(relative: str) -> bool:
    return relative.startswith("/") or ".." in relative.split("/") or bool(_DRIVE.match(relative))


def _describe(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a name in it is not UTF-8, although it says so"
    if isinstance(error, ValueError | RecursionError | MemoryError):
        return "a header is damaged"
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or "it ends early"


class _Names:
    """Makes names unique; keeps 8 bytes of a hash of each."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._again: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """The name, or `name (2)`, `name (3)` … where it came before."""
        if self._add(name):
            return name
        number = self._again.get(name, 1) + 1
        while not self._add(f"{name} ({number})"):
            number += 1
        self._again[name] = number
        return f"{name} ({number})"

    def _add(self, name: str) -> bool:
        key = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new
