"""Reads the first sheet of an Excel workbook as text cells, by openpyxl: some data sets publish their labels so.

openpyxl bounds neither the size of a member nor entity expansion, so that both are checked before it opens the file.
"""

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable

_MAX_BYTES = 32 << 20  # of all members together, decompressed
_EXACT = 1e15  # Excel keeps 15 digits; a larger number stays as it is


def read_xlsx(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of these columns as text, row by row below the header; empty rows are skipped.

    Blanks around cells are removed, a whole number has no `.0`, true and false are 1 and 0, dates are ISO 8601, and a
    formula has its stored result.

    Args:
        path: An .xlsx file.
        columns: Names in the header.

    Raises:
        DataError: The file is not such a workbook, is too large, or lacks a column.
    """
    import openpyxl

    try:
        _check_members(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some writers state wrong ones
            rows = [row for row in _rows(sheet) if any(row)]
        finally:
            book.close()
    except (OSError, KeyError, IndexError, ValueError, TypeError, zipfile.BadZipFile, ParseError) as error:
        raise DataError(
            f"the workbook cannot be read: {error}", where=printable(path), todo="download it again"
        ) from None
    header = rows[0] if rows else ()
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"column {missing[0]!r} is missing; found {', '.join(map(repr, filter(None, header))) or 'no header'}",
            where=str(path),
            todo="download it again",
        )
    places = [header.index(name) for name in columns]
    return [tuple(row[place] if place < len(row) else "" for place in places) for row in rows[1:]]


def _check_members(path: Path) -> None:
    """Refuses zip bombs and document types: entities, which can expand without end, need one; no workbook has it."""
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
        if total > _MAX_BYTES:
            raise DataError(f"the workbook is larger than {_MAX_BYTES >> 20} MiB", where=printable(path))
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith((".xml", ".rels")) and (b"<!DOCTYPE" in data or b"\0" in data):
                raise DataError(
                    f"{name} in the workbook declares a document type, or is not UTF-8", where=printable(path)
                )


def _rows(sheet: Any) -> Iterator[tuple[str, ...]]:
    for row in sheet.iter_rows(values_only=True):
        yield tuple(map(_text, row))


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
