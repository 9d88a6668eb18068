"""Reads the first sheet of an Excel workbook as text cells: some data sets publish their labels so.

An .xlsx file is a zip archive of XML (ECMA-376); only values are read, no formula is run.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable

_MAX_BYTES = 32 << 20
_SHEET = "xl/worksheets/sheet1.xml"
_STRINGS = "xl/sharedStrings.xml"
_N = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read_xlsx(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows below the header, blanks around cells removed, empty rows left out.

    Args:
        path: An .xlsx file.
        columns: Columns that must be there, by the header's names.

    Raises:
        DataError: The file is no such workbook, is too large, or lacks a column.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            strings = _shared(_xml(archive, _STRINGS, path)) if _STRINGS in archive.namelist() else []
            table = [row for row in _cells(_xml(archive, _SHEET, path), strings) if any(row.values())]
    except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise DataError(f"the workbook cannot be read: {error}", where=printable(path), todo="fetch it anew") from None
    header = table[0] if table else {}
    missing = [name for name in columns if name not in header.values()]
    if missing:
        raise DataError(
            f"column {missing[0]!r} is missing; found {', '.join(map(repr, header.values())) or 'no header'}",
            where=str(path),
            todo="fetch it anew",
        )
    return [{name: row.get(letters, "") for letters, name in header.items()} for row in table[1:]]


def _xml(archive: zipfile.ZipFile, name: str, path: Path) -> ElementTree.Element:
    if archive.getinfo(name).file_size > _MAX_BYTES:
        raise DataError(f"{name} in the workbook is larger than {_MAX_BYTES >> 20} MiB", where=printable(path))
    data = archive.read(name)
    # Entities, which can expand without end, need a document type; no workbook has one.
    if b"<!DOCTYPE" in data or b"\0" in data:
        raise DataError(f"{name} in the workbook declares a document type, or is not UTF-8", where=printable(path))
    return ElementTree.fromstring(data)  # noqa: S314 - without a document type there is no entity to expand


def _shared(root: ElementTree.Element) -> list[str]:
    return ["".join(part.text or "" for part in item.iter(f"{_N}t")) for item in root.iter(f"{_N}si")]


def _cells(root: ElementTree.Element, strings: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows as column letters and text; a whole number has no `.0`."""
    for row in root.iter(f"{_N}row"):
        yield {re.sub(r"\d", "", cell.get("r", "")): _text(cell, strings).strip() for cell in row.iter(f"{_N}c")}


def _text(cell: ElementTree.Element, strings: Sequence[str]) -> str:
    if cell.get("t") == "inlineStr":
        return "".join(part.text or "" for part in cell.iter(f"{_N}t"))
    value = cell.findtext(f"{_N}v", "")
    return strings[int(value)] if cell.get("t") == "s" else value
