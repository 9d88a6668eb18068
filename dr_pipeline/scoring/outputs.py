"""The formats of a table of predictions, and a file of them that holds whole rows at any moment."""

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Generic, Self, TypeVar

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.files import atomic_write, make_private_folder
from dr_pipeline.tables.predictions import PREDICTIONS, PredictionRow
from dr_pipeline.tables.table import Row, Table

Grown = TypeVar("Grown")

_ROWS_PER_WRITE = 100
# Large groups compress well, and a reader holds one of them in memory.
_ROWS_PER_GROUP = 50_000
_REMAKE = "run `dr-pipeline score` again"


class Format(StrEnum):
    """The format of a table, by the ending of its name."""

    CSV = ".csv"
    JSONL = ".jsonl"
    PARQUET = ".parquet"

    @classmethod
    def of(cls, path: Path) -> "Format":
        """Raises DataError where the name has another ending."""
        try:
            return cls(path.suffix.lower())
        except ValueError:
            raise DataError(
                f"a table's name ends in {', '.join(cls)}, not in {path.suffix!r}",
                where=str(path),
                todo="name the table accordingly",
            ) from None


def partial_path(out: Path) -> Path:
    """Where the finished rows are while the run goes on: CSV for Parquet, which cannot grow."""
    suffix = ".partial.csv" if Format.of(out) is Format.PARQUET else ".partial"
    return out.with_name(out.name + suffix)


def beginning_path(path: Path) -> Path:
    """Where a growing table is until its first rows are written: the table that was there stays until then."""
    return path.with_name(f"{path.name}.new")


def lesion_paths(out: Path) -> tuple[Path, Path]:
    """Where the table of lesions beside the predictions `out` is, and the outlines; no other table has the same."""
    return out.with_name(f"{out.stem}.lesions{out.suffix}"), out.with_name(f"{out.name}.outlines.jsonl")


class GrowingTable(Generic[Grown]):
    """A file of rows to which whole rows are added; only its owner may read it.

    Rows go to the file with one write per hundred rows at most, so that a killed run leaves no half of a row.

    Args:
        path: Replaced where it is there.
        encode: From rows to bytes, such as `encoder` gives; from none to the header, where there is one.
        rows: The first rows.

    Raises:
        OSError: The file cannot be written. Whole rows stay.
    """

    def __init__(self, path: Path, encode: Callable[[Iterable[Grown]], bytes], rows: Iterable[Grown] = ()) -> None:
        make_private_folder(path.parent)
        self._encode = encode
        self._path = begun = beginning_path(path)
        begun.unlink(missing_ok=True)
        self._handle = os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
        self._size, self.num_rows = 0, 0
        self._write(self._encode([]))
        self.add(rows)
        begun.replace(path)  # the open file goes on growing under this name
        self._path = path

    def add(self, rows: Iterable[Grown]) -> None:
        """Adds rows."""
        rows = iter(rows)
        while piece := list(islice(rows, _ROWS_PER_WRITE)):
            self._write(self._encode(piece))
            self.num_rows += len(piece)

    def _write(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:  # a disk that is nearly full takes a part
                left = left[os.write(self._handle, left) :]
        except OSError as error:
            os.ftruncate(self._handle, self._size)
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        self._size += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        os.close(self._handle)

    def sync(self) -> None:
        """Waits until the rows are on the disk."""
        os.fsync(self._handle)


def encoder(format: Format, table: Table[Row]) -> Callable[[Iterable[Row]], bytes]:  # noqa: A002
    """From rows to bytes of CSV, the header before the first, or of JSON Lines; Parquet cannot grow."""
    if format is Format.JSONL:
        return lambda rows: "".join(json.dumps(table.values(row), ensure_ascii=False) + "\n" for row in rows).encode()
    text = io.StringIO(newline="")
    add = table.writer(text)

    def encode(rows: Iterable[Row]) -> bytes:
        for row in rows:
            add(row)
        data = text.getvalue().encode()
        text.seek(0)
        text.truncate()
        return data

    return encode


def write_table(path: Path, table: Table[Row], rows: Iterable[Row]) -> None:
    """Writes a table in the format of its name, whole or not at all, in bounded memory; only its owner may read it."""
    if Format.of(path) is Format.PARQUET:
        _write_parquet(path, table, rows)
        return
    encode, rows = encoder(Format.of(path), table), iter(rows)
    with atomic_write(path, private=True) as stream:
        stream.write(encode([]))
        while piece := list(islice(rows, _ROWS_PER_WRITE)):
            stream.write(encode(piece))


def require_parquet() -> None:
    """Raises EnvironmentProblem where the library that writes Parquet is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "Parquet needs the package 'pyarrow'", todo="pip install 'dr-pipeline[parquet]', or write .csv or .jsonl"
        ) from None


def write_parquet(path: Path, rows: Iterable[PredictionRow]) -> None:
    """Writes predictions as Parquet, whole or not at all, in bounded memory; numbers have the decimals of the CSV."""
    _write_parquet(path, PREDICTIONS, rows)


def _write_parquet(path: Path, table: Table[Row], rows: Iterable[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {str: pa.string(), int: pa.int32(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(column, types[kind]) for column, kind in table.types.items()])
    rows = iter(rows)
    with atomic_write(path, private=True) as stream, pq.ParquetWriter(stream, schema) as writer:
        while group := [table.values(row) for row in islice(rows, _ROWS_PER_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def read_rows(path: Path) -> Iterator[PredictionRow]:
    """The rows of a table in any of the formats, one at a time.

    Raises:
        DataError: The table is missing, or no table of predictions.
    """
    match Format.of(path):
        case Format.CSV:
            yield from PREDICTIONS.iterate(path)
        case Format.JSONL:
            with path.open(encoding="utf-8") as stream:
                for number, line in enumerate(stream, start=1):
                    yield _parse_line(line, where=f"{path}, line {number}")
        case Format.PARQUET:
            require_parquet()
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                for group in file.iter_batches():
                    for values in group.to_pylist():
                        yield _parse_values(values, where=str(path))


def _parse_line(line: str, *, where: str) -> PredictionRow:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise DataError(f"not JSON: {error}", where=where, todo=_REMAKE) from None
    if not isinstance(values, dict) or not set(PREDICTIONS.columns) <= set(values):
        raise DataError("not a row of predictions of this version", where=where, todo=_REMAKE)
    return _parse_values(values, where=where)


def _parse_values(values: dict[str, object], *, where: str) -> PredictionRow:
    """A row from typed values; the text of a number reads back as the same number."""
    cells = {
        column: "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
        for column, value in values.items()
    }
    return PREDICTIONS.parse(cells, where=where)


@contextmanager
def explained() -> Iterator[None]:
    """Turns an error of the operating system into one that states what cannot be written and what to do."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the table cannot be written: {error.strerror or error}",
            where=str(error.filename2 or error.filename or ""),
            todo="free space or choose another place; a run that has begun goes on with --resume",
        ) from None
