"""Files as the pipeline writes them: whole or not at all, canonical, verifiable."""

import csv
import errno
import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from dr_pipeline.errors import DataError

_CHUNK_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# A spreadsheet runs a cell that begins so as a formula (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

# Excel's own first line. Other programs that save the table again keep it, in quotes or filled up with empty cells,
# between which their own sign stands.
_SEPARATOR_LINE = re.compile(r"""['"]?sep=([^\w\s"']|\t)['"]?(?P<filling>[,;|\t]?)[,;|\t]*\s*""", re.IGNORECASE)


@contextmanager
def atomic_write(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Opens a temporary neighbour of `path` and renames it over `path` once the block has ended well.

    Args:
        path: The file to write.
        private: Only its owner may read it, and enter folders that are made for it.
    """
    make_private_folder(path.parent) if private else path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if not private:  # mkstemp's files are
            temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = str(path)  # a write knows no path, and its reader needs the disk
        raise


def make_private_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing; only their owner may enter what is made."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Writes UTF-8 text, whole or not at all; where `private`, only its owner may read it."""
    with atomic_write(path, private=private) as stream:
        stream.write(text.encode())


def canonical_json(value: Any) -> str:
    """The one spelling of `value`: sorted keys, two-space indent; NaN is refused, since JSON has none."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes canonical JSON, whole or not at all."""
    write_text(path, canonical_json(value))


def read_json(path: Path) -> Any:
    """Raises DataError where `path` is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("a file is missing", where=str(path), todo="run `dvc repro`, which makes it") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number of 5,000 digits, nested too deep
        raise DataError(f"not valid JSON: {error}", where=str(path), todo="remove it and run `dvc repro`") from None


class CsvWriter:
    """Writes rows that `read_csv` gives back, whatever their cells hold.

    Python's csv (before 3.13) quotes a carriage return only where lines end in one, so a cell with a bare one (a file
    name may hold it) would end its row; all cells of such a row are quoted.

    Args:
        stream: Text, opened with `newline=""`.
        columns: Exactly these; None becomes an empty cell.
    """

    def __init__(self, stream: TextIO, columns: Sequence[str]) -> None:
        self._plain, self._quoted = (
            csv.DictWriter(stream, list(columns), lineterminator="\n", extrasaction="raise", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )

    def header(self) -> None:
        """Writes the columns' names."""
        self._plain.writeheader()

    def row(self, row: Mapping[str, Any]) -> None:
        """Writes one row; raises ValueError where it has another column."""
        fragile = any(isinstance(cell, str) and "\r" in cell for cell in row.values())
        (self._quoted if fragile else self._plain).writerow(row)


def read_csv(path: Path, columns: Sequence[str] = (), *, version: int | None = None) -> list[dict[str, str]]:
    """Reads a CSV table as text cells; arguments and errors are those of `iterate_csv`."""
    return list(iterate_csv(path, columns, version=version))


def iterate_csv(path: Path, columns: Sequence[str] = (), *, version: int | None = None) -> Iterator[dict[str, str]]:
    """Yields the rows of a CSV table as text cells, one at a time.

    Args:
        path: A UTF-8 CSV file with a header; a byte-order mark is accepted, and so is a first line such as `sep=;`,
            which Excel reads as the sign between the cells.
        columns: Columns that must be present; others are kept.
        version: The `schema_version` that every row must have.

    Raises:
        DataError: The file is missing or not UTF-8, lacks a column, has a row of another length or version.
    """
    try:
        with _csv_errors(path), path.open(encoding="utf-8-sig", newline="") as stream:
            delimiter, skipped = _declared_delimiter(stream)
            reader = csv.DictReader(stream, restkey="\0too many", restval=None, strict=True, delimiter=delimiter)
            header = list(reader.fieldnames or ())
            missing = [name for name in columns if name not in header]
            if missing:
                raise DataError(
                    f"column {missing[0]!r} is missing; found {', '.join(map(repr, header)) or 'no header'}",
                    where=str(path),
                    todo="name the column as given, or map it in params.yaml",
                )
            for number, row in enumerate(reader, start=2 + skipped):
                _check_row(row, version, where=f"{path}, row {number}")
                yield row
    except FileNotFoundError:
        raise DataError("a table is missing", where=str(path), todo="check the path, or run `dvc repro`") from None


def read_csv_header(path: Path) -> list[str]:
    """The names in the header of a table that `read_csv` reads, also repeated ones; none where the file is empty.

    Raises:
        OSError: The file cannot be read.
        DataError: It is not UTF-8, or no CSV table.
    """
    with _csv_errors(path), path.open(encoding="utf-8-sig", newline="") as stream:
        delimiter, _ = _declared_delimiter(stream)
        return next(csv.reader(stream, delimiter=delimiter), [])


@contextmanager
def _csv_errors(path: Path) -> Iterator[None]:
    """Turns what is wrong with the text of a table into a sentence."""
    try:
        yield
    except (UnicodeDecodeError, csv.Error) as error:
        what = f"not UTF-8: {error.reason}" if isinstance(error, UnicodeDecodeError) else f"not a CSV table: {error}"
        raise DataError(what, where=printable(path), todo="save the table as UTF-8 CSV") from None


def _declared_delimiter(stream: TextIO) -> tuple[str, int]:
    """The sign between the cells and the number of lines before the header, at which the stream then stands."""
    match = _SEPARATOR_LINE.fullmatch(stream.readline())
    if match is None:
        stream.seek(0)
    return (match["filling"] or match[1], 1) if match else (",", 0)


def _check_row(row: Mapping[str, Any], version: int | None, *, where: str) -> None:
    if "\0too many" in row or None in row.values():
        raise DataError(
            "a row has more or fewer cells than the header",
            where=where,
            todo="fix the row; put a cell that holds a comma in double quotes",
        )
    if version is not None and row.get("schema_version") != str(version):
        raise DataError(
            f"schema_version {row.get('schema_version')!r}, expected {version}",
            where=where,
            todo="run `dvc repro`, which writes the table again",
        )


def spreadsheet_safe(text: str) -> str:
    """Makes a cell inert in a spreadsheet: a leading formula character gets an apostrophe before it."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def spreadsheet_plain(text: str) -> str:
    """The text of a cell that `spreadsheet_safe` wrote."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_STARTS) else text


def printable(path: str | Path) -> str:
    """A path as text that UTF-8 can hold, also where the file system's bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def sha256_bytes(data: bytes | memoryview) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON of a value."""
    return sha256_bytes(canonical_json(value).encode())


def add_to_tar(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds a member whose header depends on nothing but name and length, so that equal input gives equal tars."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(data))


class TarReader:
    """Random access to the members of one uncompressed tar file, read into an index once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with tarfile.open(path, "r:") as tar:
                self._where = {m.name: (m.offset_data, m.size) for m in tar if m.isfile()}
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"shard cannot be read: {error}", where=str(path), todo="run `dvc repro`") from None

    def names(self) -> list[str]:
        """Members in the order of the file."""
        return list(self._where)

    def read(self, name: str) -> bytes:
        """Content of one member; raises DataError where there is none of that name."""
        if name not in self._where:
            raise DataError(f"{name} is not in the shard", where=str(self.path), todo="run `dvc repro`")
        offset, length = self._where[name]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)
