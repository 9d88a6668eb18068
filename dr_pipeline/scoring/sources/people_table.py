"""Patient, eye, visit and site from a CSV that names photographs by path or file name."""

import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.intake.coded_values import PLAIN
from dr_pipeline.schema import Eye
from dr_pipeline.scoring.sources.person import UNKNOWN, Person
from dr_pipeline.tables.foreign_csv import foreign_header, iterate_foreign

# Names of columns, in any case.
_COLUMNS = {
    "key": ("path", "file", "filename", "image"),
    "patient_id": ("patient", "patient_id"),
    "eye": ("eye", "laterality"),
    "visit": ("visit",),
    "site": ("site",),
}
_SCHEMA = "CREATE TABLE people (key TEXT PRIMARY KEY, patient_id TEXT, eye TEXT, visit TEXT, site TEXT, uses INTEGER)"


class PeopleTable:
    """The table's rows in a temporary database on disk, so that millions take little memory.

    Args:
        path: A CSV, see `iterate_foreign`, with a column `path`, `file`, `filename` or `image`, whose cells are paths
            below the source or file names, and any of `patient`, `eye`, `visit` and `site`.

    Raises:
        DataError: The table or a column is missing or there twice; a row has no name, no eye in its cell for the eye,
            or contradicts another one. Messages name rows, never patients.
    """

    def __init__(self, path: Path) -> None:
        columns = _find_columns(path)
        self._db = sqlite3.connect("")
        self._db.execute(_SCHEMA)
        for number, row in iterate_foreign(path):
            if not any(row.values()):  # what a spreadsheet leaves below its last row
                continue
            cells = {name: row[column] for name, column in columns.items()}
            self._add(cells, where=f"{printable(path)}, row {number}")
        self._has_names = bool(self._db.execute("SELECT 1 FROM people WHERE key NOT LIKE '%/%' LIMIT 1").fetchone())

    def _add(self, cells: dict[str, str], *, where: str) -> None:
        key, eye = _key(cells["key"]), PLAIN.eye(cells.get("eye", ""))
        if not key:
            raise DataError("the row names no photograph", where=where, todo="correct the table")
        if eye is None:
            raise DataError("the eye is none of left, right, OS, OD, L, R", where=where, todo="correct the table")
        values = (cells.get("patient_id", ""), str(eye), cells.get("visit", ""), cells.get("site", ""))
        earlier = self._row(key)
        if earlier not in (None, values):
            raise DataError("an earlier row has the same name and other values", where=where, todo="correct the table")
        if earlier is None:
            self._db.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?, 0)", (key, *values))

    def count(self, relative: str) -> None:
        """Counts a file for the file name in the table that fits it."""
        if self._has_names:
            self._db.execute("UPDATE people SET uses = uses + 1 WHERE key = ?", (_key(relative).rpartition("/")[2],))

    def require_unambiguous(self) -> None:
        """Checks that each file name in the table fits one of the files that were counted.

        Raises:
            DataError: One fits several, so that it is not known whose photographs they are.
        """
        several = self._db.execute("SELECT count(*), min(key) FROM people WHERE uses > 1").fetchone()
        if several[0]:
            raise DataError(
                f"{several[0]} file names of the table fit several files, such as {several[1]!r}",
                where="--people",
                todo="write paths, with their folders, into the table",
            )

    def person(self, relative: str) -> Person:
        """The row for a path, or else for its file name where only one counted file has it; all empty without one."""
        found = next(filter(None, map(self._row, _keys(relative))), None)
        return UNKNOWN if found is None else Person(found[0], Eye(found[1]), found[2], found[3])

    def _row(self, key: str) -> tuple[str, str, str, str] | None:
        query = "SELECT patient_id, eye, visit, site FROM people WHERE key = ? AND uses < 2"
        found: tuple[str, str, str, str] | None = self._db.execute(query, (key,)).fetchone()
        return found


def _find_columns(path: Path) -> dict[str, str]:
    """The table's own name of each column that it has."""
    header = foreign_header(path)
    found = {name: [column for column in header if column.casefold() in aliases] for name, aliases in _COLUMNS.items()}
    twice = next((columns for columns in found.values() if len(columns) > 1), None)
    if twice:
        raise DataError(f"columns {' and '.join(map(repr, twice))} mean the same", where=printable(path))
    if not found["key"] or not any(columns for name, columns in found.items() if name != "key"):
        raise DataError(
            "the table needs a column path, file, filename or image, and one of patient, eye, visit and site",
            where=printable(path),
            todo="name its columns so, in the first row",
        )
    return {name: columns[0] for name, columns in found.items() if columns}


def _keys(relative: str) -> Iterator[str]:
    key = _key(relative)
    yield key
    yield key.rpartition("/")[2]


def _key(text: str) -> str:
    """One spelling of a path: `é` is two characters in macOS's file names."""
    return unicodedata.normalize("NFC", printable(text)).replace("\\", "/").removeprefix("./")
