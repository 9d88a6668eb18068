"""Where a bundle's files lie: in a folder, or in one file, a `.drbundle`.

A `.drbundle` is a zip (PKWARE, APPNOTE.TXT) with one spelling: the files in the order of their names, stored without
compression, no times, no extra fields, no comments. So equal bundles give equal bytes, every zip program opens one, it
unpacks to no more than its own size, and a file of any other spelling is refused: no byte of it can change unnoticed.
"""

import os
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import atomic_write, printable
from dr_pipeline.folder_rules import is_system_name

SUFFIX = ".drbundle"
MONAI_FOLDER = "configs"  # the one folder that a bundle has
COPY_AGAIN = "copy the bundle again from its source, or remake it with `dvc repro package`"

_MAX_BYTES = (1 << 31) - 1
_MAX_FILES = 32
# No path of its own, no `..`, no drive, no hidden file: a name that stays below whatever folder it is unpacked into.
_NAME = re.compile(r"([A-Za-z0-9][\w-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)

_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
_LOCAL_SIGN, _CENTRAL_SIGN, _END_SIGN = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_VERSION, _UNIX, _STORED, _FIRST_DATE = 20, 3 << 8, 0, 0x21  # 1 January 1980 is the earliest that a zip can state
_PLAIN_FILE = 0o100644 << 16


def file_names(root: Path) -> set[str]:
    """Names of the files of a bundle, without what a system left beside them; nothing is verified.

    Raises:
        BundleError: There is no bundle.
    """
    if root.is_file():
        with _opened(root) as stream:
            return set(_places(stream, root))
    _require_folder(root)
    names = set()
    for entry in root.iterdir():
        inner = entry.iterdir() if entry.name == MONAI_FOLDER and entry.is_dir() else [entry]
        names |= {path.relative_to(root).as_posix() for path in inner if not is_system_name(path.name)}
    return {name for name in names if not is_system_name(name)}


def read_stored(root: Path, name: str) -> bytes:
    """One file of a bundle, as it is.

    Raises:
        BundleError: There is no bundle, or it has no such file.
    """
    if root.is_file():
        with _opened(root) as stream:
            places = _places(stream, root)
            if name not in places:
                raise missing_file(name, root)
            start, size = places[name]
            stream.seek(start)
            return stream.read(size)
    _require_folder(root)
    if not (root / name).is_file():
        raise missing_file(name, root)
    try:
        return (root / name).read_bytes()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(root / name), todo=COPY_AGAIN) from None


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        raise BundleError(
            "there is no bundle", where=str(root), todo=f"name the folder that `dvc repro` made, or a {SUFFIX} file"
        )


def missing_file(name: str, root: Path) -> BundleError:
    """The error where a file of the bundle is missing."""
    return BundleError(f"{name} is missing from the bundle", where=str(root), todo=COPY_AGAIN)


def pack_files(files: Mapping[str, bytes], out: Path) -> None:
    """Writes a `.drbundle` of these files, whole or not at all.

    Raises:
        BundleError: They are more than 2 GiB.
    """
    if sum(map(len, files.values())) >= _MAX_BYTES:
        raise BundleError(f"more than 2 GiB do not fit into a {SUFFIX} file", where=str(out), todo="copy the folder")
    with atomic_write(out) as stream:
        for header, content in _pieces(files):
            stream.write(header)
            stream.write(content)


def require_one_spelling(packed: Path) -> None:
    """Refuses a `.drbundle` that is not, to the byte, what `pack_files` writes of its files.

    Raises:
        BundleError: It is not.
    """
    with _opened(packed) as stream:
        data = stream.read(_MAX_BYTES + 1)
    view, at = memoryview(data), 0
    places = _places(BytesIO(data), packed)
    files = {name: view[start : start + size] for name, (start, size) in places.items()}
    for header, content in _pieces(files):
        if data[at : at + len(header)] != header:
            raise _other_spelling("a header, a checksum or the order is another", packed)
        at += len(header) + len(content)
    if at != len(data):
        raise _other_spelling("bytes follow its end", packed)


@contextmanager
def as_folder(root: Path) -> Iterator[Path]:
    """The folder of a bundle; of a `.drbundle` a temporary one, which only its owner may enter.

    Raises:
        BundleError: The file is no `.drbundle`.
    """
    if not root.is_file():
        yield root
        return
    require_one_spelling(root)
    with tempfile.TemporaryDirectory(prefix="dr-pipeline-") as folder:
        write_folder(Path(folder), {name: read_stored(root, name) for name in file_names(root)})
        yield Path(folder)


def require_outside(out: Path, root: Path) -> None:
    """Checks that what is to be written does not lie inside a bundle, which a file that is not its own would break.

    Raises:
        DataError: It does.
    """
    if root.resolve() in out.resolve().parents:
        raise DataError(
            "this lies inside the bundle, which is refused with a file that is not its own",
            where=printable(out),
            todo="name a place outside the bundle's folder",
        )


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes a bundle's files into a folder that is there."""
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def _pieces(files: Mapping[str, bytes | memoryview]) -> Iterator[tuple[bytes, bytes | memoryview]]:
    """Headers and contents, whose concatenation is the `.drbundle`."""
    directory, offset = b"", 0
    for name in sorted(files):
        content, encoded = files[name], name.encode("ascii")
        size = len(content)
        # Version, flags, method, time, date, checksum, both sizes, lengths of the name and of extra fields.
        entry = (_VERSION, 0, _STORED, 0, _FIRST_DATE, zlib.crc32(content), size, size, len(encoded), 0)
        header = _LOCAL.pack(_LOCAL_SIGN, *entry) + encoded
        directory += _CENTRAL.pack(_CENTRAL_SIGN, _UNIX | _VERSION, *entry, 0, 0, 0, _PLAIN_FILE, offset) + encoded
        offset += len(header) + size
        yield header, content
    yield directory + _END.pack(_END_SIGN, 0, 0, len(files), len(files), len(directory), offset, 0), b""


def _places(stream: BinaryIO, root: Path) -> dict[str, tuple[int, int]]:
    """Start and size of each file, from the headers before the files, in their order."""
    places: dict[str, tuple[int, int]] = {}
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    while (header := stream.read(_LOCAL.size)).startswith(_LOCAL_SIGN) and len(header) == _LOCAL.size:
        _, _, flags, method, _, _, _, size, _, name_length, extra_length = _LOCAL.unpack(header)
        name = stream.read(name_length).decode("ascii", "backslashreplace")
        if not _NAME.fullmatch(name):
            raise _other_spelling(f"it names {name[:100]!r}, which could lead out of a folder", root)
        if name in places or len(places) == _MAX_FILES:
            raise _other_spelling(f"it has {name[:100]!r} twice, or more than {_MAX_FILES} files", root)
        if flags & 1 or method != _STORED:
            raise _other_spelling(f"{name[:100]!r} is {'encrypted' if flags & 1 else 'compressed'}", root)
        start = stream.tell() + extra_length
        if start + size > end:
            raise _other_spelling(f"it ends within {name!r}", root)
        places[name] = (start, size)
        stream.seek(start + size)
    if not places:
        raise BundleError(
            f"there is no bundle: not a {SUFFIX} file", where=str(root), todo="name a bundle's folder or file"
        )
    return places


@contextmanager
def _opened(packed: Path) -> Iterator[BinaryIO]:
    try:
        with packed.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > _MAX_BYTES:
                raise _other_spelling("it is larger than 2 GiB", packed)
            yield stream
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(packed), todo=COPY_AGAIN) from None


def _other_spelling(what: str, packed: Path) -> BundleError:
    return BundleError(
        f"not a file that `dr-pipeline pack` wrote, or altered: {what}", where=str(packed), todo=COPY_AGAIN
    )
