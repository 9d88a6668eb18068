"""A typed CSV table: the fields of a dataclass are its columns, in order."""

import dataclasses
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Generic, TextIO, TypeVar, get_args, get_origin, get_type_hints

from dr_pipeline.errors import DataError
from dr_pipeline.files import CsvWriter, iterate_csv, write_text
from dr_pipeline.schema import GRADES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)
else:
    Row = TypeVar("Row")

VERSION_COLUMN = "schema_version"
_ROUNDED_SUM = 1e-3


@dataclass(frozen=True)
class Cell:
    """How a field is written, as an annotation: `Annotated[float, Cell(".4f")]`.

    Attributes:
        format: Format specification of a number; empty: the shortest text that reads back as the same number.
        among: The values allowed; empty: any.
        columns: The columns of a tuple, one per item; empty: one column of the field's name.
    """

    format: str = ""
    among: tuple[object, ...] = ()
    columns: tuple[str, ...] = ()


def per_grade(prefix: str, decimals: int | str = ".6f") -> Cell:
    """One number per grade, in the columns prefix0 … prefix4."""
    return Cell(str(decimals), columns=tuple(f"{prefix}{grade}" for grade in GRADES))


# The International Clinical DR scale, 0–4.
GradeCell = Annotated[int, Cell(among=GRADES)]
Fixed2 = Annotated[float, Cell(".2f")]
Fixed4 = Annotated[float, Cell(".4f")]
Fixed6 = Annotated[float, Cell(".6f")]


def require_probabilities(values: Sequence[float]) -> None:
    """Raises ValueError where the numbers are no probabilities that sum to 1 within their decimals."""
    # Written the other way round, NaN would pass: each comparison with it is false.
    if not (min(values) >= 0 and abs(sum(values) - 1) <= _ROUNDED_SUM):
        raise ValueError(f"{', '.join(map(str, values))} are no probabilities of the five grades")


def require_finite(*values: float | None) -> None:
    """Raises ValueError where a number is NaN or infinite."""
    if any(value is not None and not math.isfinite(value) for value in values):
        raise ValueError(f"{', '.join(map(str, values))}: not a finite number")


class Table(Generic[Row]):
    """Reads and writes the rows of one kind of table.

    A field is text, int, float, bool (0 or 1), an enumeration, or any of these or None (an empty cell). A tuple of
    floats has one column per item and is None where one of them is empty. A row that raises ValueError in
    `__post_init__` is refused with that message.

    Args:
        row: A dataclass with keyword fields; their order is that of the columns.
        version: Written into the first column of every row and checked in each; None: the table has no such column.
        todo: What a user does about a cell that cannot be read.
    """

    def __init__(
        self, row: type[Row], *, version: int | None, todo: str = "run `dvc repro`, which writes it again"
    ) -> None:
        self.row_type, self.version, self._todo = row, version, todo
        hints = get_type_hints(row, include_extras=True)
        self._fields = tuple(_Field.of(field.name, hints[field.name]) for field in dataclasses.fields(row))
        names = [column for field in self._fields for column in field.columns]
        self.columns: tuple[str, ...] = tuple(names if version is None else [VERSION_COLUMN, *names])
        # What a column holds beside None, for formats with types: str, int, float or bool; enumerations are text.
        self.types: dict[str, type] = {} if version is None else {VERSION_COLUMN: int}
        self.types |= {column: field.kind for field in self._fields for column in field.columns}

    def read(self, path: Path) -> list[Row]:
        """All rows, in the order of the file; columns that the table does not define are ignored.

        Raises:
            DataError: The table is missing, of another version, or lacks a column; a cell cannot be converted. The
                message names file, row and column.
        """
        return list(self.iterate(path))

    def iterate(self, path: Path) -> Iterator[Row]:
        """The rows one at a time, for a caller that keeps only a part of them; errors are those of `read`."""
        for number, cells in enumerate(iterate_csv(path, self.columns, version=self.version), start=2):
            yield self.parse(cells, where=f"{path}, row {number}")

    def parse(self, cells: Mapping[str, str], *, where: str) -> Row:
        """One row from its text cells.

        Raises:
            DataError: A cell cannot be converted, or the cells do not go together.
        """
        values = {}
        for field in self._fields:
            try:
                values[field.name] = field.parse([cells[column] for column in field.columns])
            except ValueError as error:
                column = field.columns[0] if len(field.columns) == 1 else f"{field.columns[0]}–{field.columns[-1]}"
                raise DataError(str(error), where=f"{where}, column {column!r}", todo=self._todo) from None
        try:
            return self.row_type(**values)
        except ValueError as error:
            raise DataError(str(error), where=where, todo=self._todo) from None

    def cells(self, row: Row) -> dict[str, str]:
        """The text cells of one row by column, as they are written."""
        cells = {} if self.version is None else {VERSION_COLUMN: str(self.version)}
        for field in self._fields:
            cells.update(zip(field.columns, field.texts(getattr(row, field.name)), strict=True))
        return cells

    def values(self, row: Row) -> dict[str, str | int | float | bool | None]:
        """One row by column as `types` has it, for formats with types; numbers have the decimals of the text cells."""
        values: dict[str, str | int | float | bool | None] = (
            {} if self.version is None else {VERSION_COLUMN: self.version}
        )
        for field in self._fields:
            texts = zip(field.columns, field.texts(getattr(row, field.name)), strict=True)
            values.update((column, field.value(text)) for column, text in texts)
        return values

    def write(self, path: Path, rows: Iterable[Row], *, private: bool = False) -> None:
        """Writes the table as UTF-8 CSV, whole or not at all; where `private`, only its owner may read it."""
        buffer = io.StringIO()
        writer = self.writer(buffer)
        for row in rows:
            writer(row)
        write_text(path, buffer.getvalue(), private=private)

    def writer(self, stream: TextIO) -> Callable[[Row], None]:
        """Writes the header and returns a function that writes one row, for a table that grows row by row."""
        writer = CsvWriter(stream, self.columns)
        writer.header()
        return lambda row: writer.row(self.cells(row))


@dataclass(frozen=True)
class _Field:
    """One field of a row: its columns and the conversion of its cells."""

    name: str
    columns: tuple[str, ...]
    optional: bool
    format: str
    kind: type
    convert: Callable[[str], object]

    @classmethod
    def of(cls, name: str, hint: Any) -> "_Field":
        cell, optional = Cell(), False
        while get_origin(hint) is not tuple and (arguments := get_args(hint)):
            if get_origin(hint) is Annotated:
                hint, cell = arguments[0], next(item for item in arguments[1:] if isinstance(item, Cell))
            elif NoneType in arguments and len(arguments) == 2:  # X | None
                (hint,) = (argument for argument in arguments if argument is not NoneType)
                optional = True
            else:
                break
        item = get_args(hint)[0] if get_origin(hint) is tuple else hint
        convert = _converter(item, cell.among)
        kind = str if issubclass(item, Enum) else item
        return cls(name, cell.columns or (name,), optional, cell.format, kind, convert)

    def parse(self, texts: Sequence[str]) -> object:
        if self.optional and "" in texts:
            return None
        if len(self.columns) > 1:
            return tuple(self.convert(text) for text in texts)
        return self.convert(texts[0])

    def texts(self, value: Any) -> Iterator[str]:
        items = [None] * len(self.columns) if value is None else value if len(self.columns) > 1 else [value]
        return (self._text(item) for item in items)

    def value(self, text: str) -> str | int | float | bool | None:
        if self.optional and not text:
            return None
        value: str | int | float | bool = text if self.kind is str else self.convert(text)  # type: ignore[assignment]
        return value

    def _text(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, Enum):
            return str(value.value)
        if isinstance(value, bool):
            return str(int(value))
        return format(value, self.format)


def _converter(kind: Any, among: tuple[object, ...]) -> Callable[[str], object]:
    if kind is str:
        convert: Callable[[str], object] = str
    elif kind is int:
        convert = _int
    elif kind is float:
        convert = _float
    elif kind is bool:
        convert = _bool
    elif isinstance(kind, type) and issubclass(kind, Enum):
        convert, among = _enum(kind), ()
    else:
        raise TypeError(f"a table cannot hold {kind!r}")
    if not among:
        return convert

    def checked(text: str) -> object:
        if (value := convert(text)) not in among:
            raise ValueError(f"{text!r} is not one of {', '.join(map(str, among))}")
        return value

    return checked


def _int(text: str) -> int:
    try:
        return int(_digits(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an integer") from None


def _float(text: str) -> float:
    try:
        return float(_digits(text))
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _digits(text: str) -> str:
    """Refuses what Python's own conversion accepts beyond a number as it is written: blanks and underscores."""
    if "_" in text or text.strip() != text:
        raise ValueError(text)
    return text


def _bool(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"{text!r} is neither 0 nor 1")
    return text == "1"


def _enum(kind: type[Enum]) -> Callable[[str], object]:
    values = {str(member.value): member for member in kind}

    def convert(text: str) -> object:
        if text not in values:
            raise ValueError(f"{text!r} is not one of {', '.join(map(repr, values))}")
        return values[text]

    return convert
