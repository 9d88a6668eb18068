"""Reads the first sheet of an Excel workbook as text cells, by openpyxl: some data sets publish their labels so.

openpyxl bounds neither the size of a member, nor entity expansion, nor the empty rows before a row with a high number;
this module does.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from xml.etree.ElementTree import ParseError

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable

_MAX_BYTES = 32 << 20  # of all members together, decompressed
_MAX_ROWS = 1 << 20  # Excel's own limit
_MAX_COLUMNS = 256  # further ones are not read
_EXACT = 1e15  # Excel keeps 15 digits; a larger number is left as it is
_DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
_AGAIN = "download it again"


def read_xlsx(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of these columns as text, row by row below the header; empty rows are skipped.

    Blanks around cells are removed, a whole number has no `.0`, true and false are 1 and 0, dates are ISO 8601, and a
    formula has its stored result.

    Args:
        path: An .xlsx file.
        columns: Names in the header, which is the first row that is not empty.

    Raises:
        DataError: The file is not such a workbook, is too large, or lacks a column.
    """
    try:
        _check_members(path)
        rows = _rows(path)
        header = tuple(map(_text, next(rows, ())))
        missing = [name for name in columns if name not in header]
        if missing:
            names = ", ".join(repr(name) for name in header if name) or "no header"
            raise DataError(f"column {missing[0]!r} is missing; found {names}", where=str(path), todo=_AGAIN)
        places = [header.index(name) for name in columns]
        return [tuple(_text(row[place]) for place in places) for row in rows]
    except (
        *(OSError, ParseError, RuntimeError, zipfile.BadZipFile, zlib.error),
        *(AttributeError, EOFError, IndexError, KeyError, TypeError, ValueError),  # openpyxl's, by what is damaged
    ) as error:
        raise DataError(f"the workbook cannot be read: {error}", where=printable(path), todo=_AGAIN) from None


def _check_members(path: Path) -> None:
    """Refuses zip bombs and document types: entities, which can expand without end, need one; no workbook has it."""
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
        if total > _MAX_BYTES:
            raise DataError(f"the workbook is larger than {_MAX_BYTES >> 20} MiB", where=printable(path))
        for name in archive.namelist():  # of any suffix: a relationship may name any member as a sheet
            data = archive.read(name)
            if any(doctype in data for doctype in _DOCTYPES):
                raise DataError(f"{name} in the workbook declares a document type", where=printable(path))


def _rows(path: Path) -> Iterator[tuple[object, ...]]:
    """The rows of the first sheet that are not empty, each of `_MAX_COLUMNS` cells."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # some writers state wrong ones
        for number, values in enumerate(sheet.iter_rows(max_col=_MAX_COLUMNS, values_only=True), start=1):
            if number > _MAX_ROWS:
                raise DataError("the workbook has more rows than Excel allows", where=printable(path), todo=_AGAIN)
            if values.count(None) < len(values) and any(map(_text, values)):
                yield values
    finally:
        book.close()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return str(value).strip()
