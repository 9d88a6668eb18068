"""CSV tables that people and their programs wrote: labels, patients. The pipeline's own tables are read by `table.py`.

Excel writes commas or, where a comma is the decimal sign, semicolons; "Unicode text" is UTF-16 with tabs. Where the
header is divided by one of these signs alone, that is what stands between the cells.
"""

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable

_SIGNS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r"""['"]?sep=([^\w\s"']|\t)['"]?(?P<filling>[,;|\t]?)[,;|\t]*\s*""", re.IGNORECASE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WORKBOOKS = {b"PK\x03\x04": "Excel or LibreOffice", b"\xd0\xcf\x11\xe0": "an older Excel"}
_HEAD_BYTES = 4096
_AS_CSV = "save the table as UTF-8 CSV"


def foreign_header(path: Path) -> list[str]:
    """The names in the header, also repeated ones, without blanks around them; none where the file is empty.

    Raises:
        DataError: See `iterate_foreign`.
    """
    with _opened(path) as reader:
        return _header(reader)


def iterate_foreign(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the number of the line on which each row ends, and its cells by their column; blanks around both removed.

    A row that holds nothing but separators has empty cells, however many they are; an empty line is no row. Of columns
    with one name the last counts: see `foreign_header`.

    Args:
        path: A CSV file with a header, in UTF-8 or in UTF-16 with its mark. Between the cells stands what a first line
            such as `sep=;` declares; else a comma, or where the header has none, a semicolon, tab or `|`.

    Raises:
        DataError: The file cannot be read, is a workbook or in another encoding, or a row has another length than the
            header.
    """
    with _opened(path) as reader:
        header = _header(reader)
        for cells in filter(None, reader):
            texts = [cell.strip() for cell in cells]
            if not any(texts):
                texts = [""] * len(header)
            if len(texts) != len(header):
                raise DataError(
                    "a row has more or fewer cells than the header",
                    where=f"{printable(path)}, row {reader.line_num}",
                    todo="fix the row; put a cell that holds the sign between the cells in double quotes",
                )
            yield reader.line_num, dict(zip(header, texts, strict=True))


def _header(reader: Iterator[list[str]]) -> list[str]:
    """The first row that is not blank."""
    return next((names for row in reader if any(names := [name.strip() for name in row])), [])


class _Reader:
    """The rows of an open table, numbered by the lines of the file."""

    def __init__(self, lines: Iterator[str], sign: str, skipped: int) -> None:
        self._rows = csv.reader(lines, strict=True, delimiter=sign)
        self._skipped = skipped

    @property
    def line_num(self) -> int:
        return self._rows.line_num + self._skipped

    def __iter__(self) -> "_Reader":
        return self

    def __next__(self) -> list[str]:
        return next(self._rows)


@contextmanager
def _opened(path: Path) -> Iterator[_Reader]:
    """The table's rows, the header first; turns what is wrong with its text into a sentence."""
    where = printable(path)
    try:
        with path.open(encoding=_encoding(path), newline="") as stream:
            match = _SEPARATOR_LINE.fullmatch(stream.readline())
            if match is None:
                stream.seek(0)
                sign = _dividing(next(filter(str.strip, stream), ""))
                stream.seek(0)
            else:
                sign = match["filling"] or match[1]
            yield _Reader(stream, sign, skipped=1 if match else 0)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error.reason}", where=where, todo=f'{_AS_CSV} (Excel: "CSV UTF-8")') from None
    except csv.Error as error:
        raise DataError(f"not a CSV table: {error}", where=where, todo=_AS_CSV) from None
    except OSError as error:
        raise DataError(f"the table cannot be read: {error.strerror}", where=where, todo="check the path") from None


def _encoding(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise DataError("the table cannot be read: not a regular file", where=printable(path), todo="name a CSV file")
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    for start, program in _WORKBOOKS.items():
        if head.startswith(start):
            raise DataError(
                f"a workbook of {program}, not a CSV table",
                where=printable(path),
                todo='open it and save its sheet as "CSV UTF-8"; another name does not change what a file is',
            )
    if head.startswith(_UTF_16):
        return "utf-16"
    if b"\0" in head:
        raise DataError("not UTF-8: it has null characters", where=printable(path), todo=_AS_CSV)
    return "utf-8-sig"


def _dividing(header: str) -> str:
    """The first sign that divides the header into several names; a comma where none does."""
    return next((sign for sign in _SIGNS if len(next(csv.reader([header], delimiter=sign), [])) > 1), ",")
