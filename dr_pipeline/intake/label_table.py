"""Reads a label table: columns found by name, grades and eyes checked."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable, read_csv
from dr_pipeline.intake.photographs import IMAGE_SUFFIXES
from dr_pipeline.intake.records import shortlist
from dr_pipeline.schema import Eye

# "2.0" is a grade: pandas writes integers so in a column with an empty cell. "2.5" is not.
_GRADE = re.compile(r"([0-4])(?:\.0+)?")
_EYES = {
    "": Eye.UNKNOWN,
    "left": Eye.LEFT,
    "l": Eye.LEFT,
    "os": Eye.LEFT,  # oculus sinister
    "right": Eye.RIGHT,
    "r": Eye.RIGHT,
    "od": Eye.RIGHT,  # oculus dexter
}


@dataclass(frozen=True, kw_only=True)
class _Row:
    """`key` names the photograph: its path, or its file name with or without suffix. Empty cells are unknown."""

    key: str
    patient_id: str = ""
    visit: str = ""
    field: str = ""
    grader: str = ""
    site: str = ""
    camera: str = ""
    official_split: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelText(_Row):
    """One row of a label table as text: grade 0–4, eye left, right, L, R, OS or OD; either may be empty."""

    grade: str = ""
    eye: str = ""


@dataclass(frozen=True, kw_only=True)
class Label(_Row):
    """One row of a label table, checked; `grade` is None where the photograph is not graded."""

    grade: int | None
    eye: Eye


@dataclass(frozen=True)
class LabelTable:
    """A table's rows in order; a photograph may have several, see `merge_readings.py`."""

    labels: tuple[Label, ...]
    warnings: tuple[str, ...]


def read_labels(path: Path, columns: Mapping[str, str], *, ungradable: str = "") -> LabelTable:
    """Reads a label table.

    Args:
        path: A UTF-8 CSV file.
        columns: From the fields of `LabelText` to the table's columns, blanks around these ignored. "key" and "grade"
            are required; an empty name means that the table has no such column.
        ungradable: As in `check_labels`.

    Raises:
        DataError: The file or a column is missing, the table is empty, a row has no key, a grade is not 0–4 or an eye
            is not left, right, OS or OD. An empty grade is allowed: that photograph is not graded.
    """
    named = {field: column.strip() for field, column in columns.items() if column}
    rows, num_blank = _rows(path)
    _check_header(path, named.values())
    if not rows:
        raise DataError("the label table has no rows", where=str(path), todo="check dataset.root in params.yaml")
    texts = [LabelText(**{field: row[column].strip() for field, column in named.items()}) for row in rows]
    table = check_labels(texts, where=str(path), ungradable=ungradable)
    blanks = (f"{path.name}: {num_blank} blank rows were left aside",) if num_blank else ()
    return LabelTable(table.labels, (*blanks, *table.warnings))


def read_cells(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of these columns, row by row, blanks around them removed.

    Raises:
        DataError: See `read_csv`.
    """
    return [tuple(row[column].strip() for column in columns) for row in read_csv(path, columns)]


def check_labels(rows: Sequence[LabelText], *, where: str, ungradable: str = "") -> LabelTable:
    """Checks the rows of a label table.

    Args:
        rows: The rows as text.
        where: The table, for messages.
        ungradable: The text in place of a grade that marks an ungradable photograph in this data set; it comes in
            without a grade, and a warning counts such rows.

    Raises:
        DataError: As in `read_labels`.
    """
    num_ungradable = sum(row.grade == ungradable for row in rows) if ungradable else 0
    if num_ungradable:
        rows = [replace(row, grade="") if row.grade == ungradable else row for row in rows]
    # By number: the other cells may contain a person's name, which no message repeats.
    nameless = (f"{number}" for number, row in enumerate(rows, 1) if not row.key)
    _refuse(where, "no name of a photograph, counted below the header without blank rows", nameless)
    _refuse(
        where,
        "a grade other than 0, 1, 2, 3, 4",
        (f"{row.key}: {row.grade!r}" for row in rows if row.grade and not _GRADE.fullmatch(row.grade)),
        todo="correct the table; leave the cell empty where a photograph is not graded",
    )
    _refuse(
        where,
        "an eye other than left, right, OS, OD",
        (f"{row.key}: {row.eye!r}" for row in rows if parse_eye(row.eye) is None),
        todo="correct the table; leave the cell empty where the eye is unknown",
    )
    warning = f"{num_ungradable} rows of {Path(where).name} say {ungradable}, ungradable; they have no grade"
    return LabelTable(tuple(map(_label, rows)), (warning,) if num_ungradable else ())


def parse_eye(text: str) -> Eye | None:
    """The eye named by a text (left, right, L, R, OS, OD in any case; empty: unknown); None where it names none."""
    return _EYES.get(text.casefold())


def _label(row: LabelText) -> Label:
    match = _GRADE.fullmatch(row.grade)
    checked: dict[str, Any] = {"grade": int(match[1]) if match else None, "eye": _EYES[row.eye.casefold()]}
    return Label(**vars(row) | checked)


def _rows(path: Path) -> tuple[list[dict[str, str]], int]:
    """The rows that are not blank, and the number of blank ones."""
    if path.exists() and not path.is_file():
        raise DataError(
            "the label table cannot be read: not a regular file", where=printable(path), todo="name a UTF-8 CSV file"
        )
    try:
        table = read_csv(path)
    except OSError as error:
        raise DataError(
            f"the label table cannot be read: {error.strerror}", where=printable(path), todo="name a UTF-8 CSV file"
        ) from None
    rows = [{name.strip(): cell for name, cell in row.items()} for row in table]
    filled = [row for row in rows if any(cell.strip() for cell in row.values())]
    return filled, len(rows) - len(filled)


def _check_header(path: Path, required: Iterable[str]) -> None:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = [name.strip() for name in next(csv.reader(stream), [])]
    faulty = [(name, header.count(name)) for name in required if header.count(name) != 1]
    if faulty:
        faults = "; ".join(f"column {name!r} is {'there twice' if count else 'missing'}" for name, count in faulty)
        description, todo = _describe(header)
        raise DataError(f"{faults}; found {description}", where=str(path), todo=todo)


def _describe(header: Sequence[str]) -> tuple[str, str]:
    """The first row in words, and what to do about it."""
    if any(_GRADE.fullmatch(name) or PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in header):
        # Its cells are not repeated: one of them may be a person's name.
        return "a first row that is not a header", "put the column names into the first row"
    if len(header) == 1 and (separator := next((sign for sign in ";\t|" if sign in header[0]), "")):
        return f"one column, {header[0]!r}", f"save the table with commas between the cells, not {separator!r}"
    return ", ".join(repr(name) for name in header if name) or "no header", (
        "rename the column; with the adapter folder, set its name in params.yaml under dataset.folder.columns, "
        'or "" where the table has no such column'
    )


def _refuse(where: str, fault: str, offenders: Iterable[str], *, todo: str = "correct the table") -> None:
    names = list(offenders)
    if names:
        raise DataError(f"rows with {fault}: {shortlist(names)}", where=where, todo=todo)
