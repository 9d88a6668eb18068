"""Reads a label table: columns found by name, grades and eyes checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.intake.coded_values import PLAIN, CodedValues, propose_grades
from dr_pipeline.intake.photographs import IMAGE_SUFFIXES
from dr_pipeline.intake.records import MAX_LISTED, shortlist
from dr_pipeline.schema import Eye
from dr_pipeline.tables.foreign_csv import foreign_header, iterate_foreign


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
    """One row of a label table as text, in the words of its data set; each may be empty.

    Attributes:
        grade: 0–4, or a word of `CodedValues`.
        eye: left, right, L, R, OS, OD, or a word of `CodedValues`.
        part: The official part: train, validation, test, or a word of `CodedValues`. An adapter that knows the part
            sets `official_split` instead.
        ungradable: The cell that says whether the photograph is ungradable; None where the table has no such column.
    """

    grade: str = ""
    eye: str = ""
    part: str = ""
    ungradable: str | None = None


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


def read_labels(path: Path, columns: Mapping[str, str], *, values: CodedValues = PLAIN) -> LabelTable:
    """Reads a label table.

    Args:
        path: A CSV file, see `iterate_foreign`.
        columns: From the fields of `LabelText` to the table's columns, blanks around these ignored. "key" and "grade"
            are required; an empty name means that the table has no such column.
        values: What the cells mean.

    Raises:
        DataError: The file or a column is missing, the table is empty, a row has no key, or a grade, an eye or a part
            is none. An empty grade is allowed: that photograph is not graded.
    """
    named = {field: column.strip() for field, column in columns.items() if column}
    _check_header(path, named.values())
    rows, num_blank = _rows(path)
    if not rows:
        raise DataError("the label table has no rows", where=str(path), todo="check dataset.root in params.yaml")
    texts = [LabelText(**{field: row[column] for field, column in named.items()}) for row in rows]
    table = check_labels(texts, where=str(path), values=values)
    blanks = (f"{path.name}: {num_blank} blank rows were left aside",) if num_blank else ()
    return LabelTable(table.labels, (*blanks, *table.warnings))


def read_cells(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of these columns, row by row; blank rows are left aside.

    Raises:
        DataError: The table lacks a column; see also `iterate_foreign`.
    """
    _check_header(path, columns)
    return [tuple(row[column] for column in columns) for row in _rows(path)[0]]


def describe_header(header: Sequence[str]) -> tuple[str, str]:
    """The first row in words, and what to do where it lacks a column; without cells that may be a person's name."""
    if any(PLAIN.grade(name) is not None or PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in header):
        # Its cells are not repeated: one of them may be a person's name.
        return "a first row that is not a header", "put the column names into the first row"
    return ", ".join(repr(name) for name in header if name) or "no header", (
        "rename the column; with the adapter folder, set its name in params.yaml under dataset.folder.columns, "
        'or "" where the table has no such column'
    )


def check_labels(rows: Sequence[LabelText], *, where: str, values: CodedValues = PLAIN) -> LabelTable:
    """Checks the rows of a label table.

    A photograph that the table calls ungradable comes in without a grade, and a warning counts such rows.

    Args:
        rows: The rows as text.
        where: The table, for messages.
        values: What the cells mean. A row is ungradable by its cell `ungradable`, or where it has no such cell, by the
            text in place of its grade.

    Raises:
        DataError: As in `read_labels`.
    """
    ungradable = [values.is_ungradable(row.grade if row.ungradable is None else row.ungradable) for row in rows]
    num_ungradable = sum(ungradable)
    checked = [replace(row, grade="") if no_grade else row for row, no_grade in zip(rows, ungradable, strict=True)]
    # By number: the other cells may contain a person's name, which no message repeats.
    nameless = (f"{number}" for number, row in enumerate(rows, 1) if not row.key)
    _refuse(where, "no name of a photograph, counted below the header without blank rows", nameless)
    no_grades = [row for row in checked if row.grade and values.grade(row.grade) is None]
    _refuse(
        where,
        f"a grade other than {', '.join(values.grades) or '0, 1, 2, 3, 4'}",
        (f"{row.key}: {row.grade!r}" for row in no_grades),
        todo=_grades_todo(values, [row.grade for row in checked if row.grade]),
    )
    no_eyes = [row for row in checked if values.eye(row.eye) is None]
    _refuse(
        where,
        "an eye other than " + ", ".join(["left, right, OS, OD", *values.eyes]),
        (f"{row.key}: {row.eye!r}" for row in no_eyes),
        todo="correct the table; leave the cell empty where the eye is unknown"
        + _map_todo(values, "eye", "{1: right, 2: left}"),
    )
    _refuse(
        where,
        "an official part other than " + ", ".join(["train, validation, test", *values.parts]),
        (f"{row.key}: {row.part!r}" for row in checked if row.part and values.part(row.part) is None),
        todo="correct the table" + _map_todo(values, "part", "{development: train, held_out: test}"),
    )
    warning = (
        f"{num_ungradable} rows of {Path(where).name} say {' or '.join(values.ungradable)}, ungradable; they have "
    )
    return LabelTable(tuple(_label(row, values) for row in checked), (f"{warning}no grade",) if num_ungradable else ())


def _grades_todo(values: CodedValues, texts: Sequence[str]) -> str:
    todo = "correct the table; leave the cell empty where a photograph is not graded"
    distinct = list(dict.fromkeys(texts))
    if not values.params_key or len(distinct) > MAX_LISTED:
        return todo
    return f"{todo}; or, if these are grades, {map_grades_todo([*values.grades, *distinct], values)}"


def map_grades_todo(names: Sequence[str], values: CodedValues) -> str:
    """What to write into params.yaml, so that these names are grades."""
    key = values.params_key
    return (
        f"set in params.yaml, as far as it is right: {key}.grade: {propose_grades(names)}; and list under "
        f"{key}.ungradable what marks an ungradable photograph"
    )


def _map_todo(values: CodedValues, name: str, example: str) -> str:
    return f"; or map its words in params.yaml, such as {values.params_key}.{name}: {example}" * bool(values.params_key)


def _label(row: LabelText, values: CodedValues) -> Label:
    shared = {name.name: getattr(row, name.name) for name in fields(_Row)}
    part = values.part(row.part) if row.part else None
    return Label(
        **shared | {"official_split": part or row.official_split},
        grade=values.grade(row.grade),
        eye=values.eye(row.eye) or Eye.UNKNOWN,
    )


def _rows(path: Path) -> tuple[list[dict[str, str]], int]:
    """The rows that are not blank, and the number of blank ones."""
    rows = [row for _, row in iterate_foreign(path)]
    filled = [row for row in rows if any(row.values())]
    return filled, len(rows) - len(filled)


def _check_header(path: Path, required: Iterable[str]) -> None:
    header = foreign_header(path)
    faulty = [(name, header.count(name)) for name in required if header.count(name) != 1]
    if faulty:
        faults = "; ".join(f"column {name!r} is {'there twice' if count else 'missing'}" for name, count in faulty)
        description, todo = describe_header(header)
        raise DataError(f"{faults}; found {description}", where=str(path), todo=todo)


def _refuse(where: str, fault: str, offenders: Iterable[str], *, todo: str = "correct the table") -> None:
    names = list(offenders)
    if names:
        raise DataError(f"rows with {fault}: {shortlist(names)}", where=where, todo=todo)
