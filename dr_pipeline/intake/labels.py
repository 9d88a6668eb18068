"""Reads a label table: columns found by name, grades checked, repeated rows settled."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable, read_csv
from dr_pipeline.intake.listing import IMAGE_SUFFIXES
from dr_pipeline.intake.records import listed
from dr_pipeline.schema import Eye

# "2.0" is a grade: pandas writes a column of integers so once one cell of it was empty. "2.5" is none.
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


@dataclass(frozen=True)
class Label:
    """One row of a label table, as far as an adapter asked for it."""

    key: str
    grade: int | None
    eye: Eye
    others: tuple[tuple[str, str], ...]  # (manifest column, text)


@dataclass(frozen=True)
class LabelTable:
    """A table's rows in their order; they may still name one photograph more than once, see `settle`."""

    labels: tuple[Label, ...]
    warnings: tuple[str, ...]


def read_labels(path: Path, columns: Mapping[str, str], *, ungradable: str = "") -> LabelTable:
    """Reads a label table.

    Args:
        path: A UTF-8 CSV file.
        columns: From the manifest's column (plus "key", the photograph's name) to the table's own, blanks around it
            ignored; "key" and "grade" are needed, an empty name means that there is none.
        ungradable: As in `labels_from`.

    Raises:
        DataError: The file or a column is missing, it has no rows, a row has no key, a grade is not one of 0–4 or an
            eye none of left, right, OS, OD. An empty grade is allowed: that photograph is not graded.
    """
    wanted = {ours: theirs.strip() for ours, theirs in columns.items() if theirs}
    rows, blank = _rows(path)
    _check_header(path, wanted.values())
    if not rows:
        raise DataError("the label table has no rows", where=str(path), todo="check dataset.root in params.yaml")
    cells = [{ours: row[theirs].strip() for ours, theirs in wanted.items()} for row in rows]
    table = labels_from(cells, where=str(path), ungradable=ungradable)
    blanks = (f"{path.name}: {blank} blank rows were left aside",) if blank else ()
    return LabelTable(table.labels, (*blanks, *table.warnings))


def labels_from(cells: Sequence[Mapping[str, str]], *, where: str, ungradable: str = "") -> LabelTable:
    """Checks rows that an adapter has brought into the manifest's columns.

    Args:
        cells: Each with "key", the photograph's name, and "grade"; "eye" and others of the manifest's columns at will.
        where: The table, for messages.
        ungradable: The text in place of a grade by which the set marks a photograph that nobody can grade; it comes
            in without a grade, and a warning counts such rows.

    Raises:
        DataError: As in `read_labels`.
    """
    marked = sum(row["grade"] == ungradable for row in cells) if ungradable else 0
    if marked:
        cells = [{**row, "grade": ""} if row["grade"] == ungradable else row for row in cells]
    # By number: the other cells may hold a person's name, which no message repeats.
    nameless = (f"{number}" for number, row in enumerate(cells, 1) if not row["key"])
    _refuse(where, "no name of a photograph, counted below the header without blank rows", nameless)
    _refuse(
        where,
        "a grade other than 0, 1, 2, 3, 4",
        (f"{row['key']}: {row['grade']!r}" for row in cells if row["grade"] and not _GRADE.fullmatch(row["grade"])),
        todo="correct the table; leave the cell empty where a photograph is not graded",
    )
    _refuse(
        where,
        "an eye other than left, right, OS, OD",
        (f"{row['key']}: {row['eye']!r}" for row in cells if eye_of(row.get("eye", "")) is None),
        todo="correct the table; leave the cell empty where the eye is unknown",
    )
    warnings = (
        (f"{marked} rows of {Path(where).name} say {ungradable}, ungradable; they have no grade",) if marked else ()
    )
    return LabelTable(tuple(_label(row) for row in cells), warnings)


def eye_of(text: str) -> Eye | None:
    """Which eye a text names (left, right, L, R, OS, OD in any case; empty: unknown); None where it names none."""
    return _EYES.get(text.casefold())


def settle(labels: Iterable[tuple[str, Label]], *, where: str) -> tuple[dict[str, Label], tuple[str, ...]]:
    """Makes (name, label) pairs a mapping. A name that comes twice with equal labels counts once, with a warning.

    Raises:
        DataError: A name comes twice with different labels; nobody but the user knows which is right.
    """
    by_name: defaultdict[str, list[Label]] = defaultdict(list)
    for name, label in labels:
        by_name[name].append(label)
    repeated = {name: group for name, group in by_name.items() if len(group) > 1}
    contradicting = [
        f"{name} ({_differences(group)})"
        for name, group in repeated.items()
        if len({(label.grade, label.eye, label.others) for label in group}) > 1
    ]
    if contradicting:
        raise DataError(
            f"photographs named twice with different labels: {listed(contradicting)}",
            where=where,
            todo="keep the right row of each",
        )
    warnings = (f"rows that repeat another word for word, counted once: {listed(repeated)}",) if repeated else ()
    return {name: group[0] for name, group in by_name.items()}, warnings


def _rows(path: Path) -> tuple[list[dict[str, str]], int]:
    if path.exists() and not path.is_file():
        raise DataError(
            "the label table cannot be read: no regular file", where=printable(path), todo="name a UTF-8 CSV file"
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


def _check_header(path: Path, wanted: Iterable[str]) -> None:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = [name.strip() for name in next(csv.reader(stream), [])]
    faulty = [(name, header.count(name)) for name in wanted if header.count(name) != 1]
    if faulty:
        told = "; ".join(f"column {name!r} is {'there twice' if n else 'missing'}" for name, n in faulty)
        found, todo = _seen(header)
        raise DataError(f"{told}; found {found}", where=str(path), todo=todo)


def _seen(header: Sequence[str]) -> tuple[str, str]:
    """What the first row looks like, in words, and what to do with it."""
    if any(_GRADE.fullmatch(name) or PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in header):
        # Its cells are not repeated: one of them may be a person's name.
        return "a first row that is no header", "put the columns' names into the first row"
    if len(header) == 1 and (separator := next((sign for sign in ";\t|" if sign in header[0]), "")):
        return f"one column, {header[0]!r}", f"save the table with commas between the cells, not {separator!r}"
    return ", ".join(repr(name) for name in header if name) or "no header", (
        "rename the column; with the adapter folder, say in params.yaml under dataset.folder.columns what the table "
        'calls it, or "" where it has no such column'
    )


def _refuse(where: str, fault: str, offenders: Iterable[str], *, todo: str = "correct the table") -> None:
    found = list(offenders)
    if found:
        raise DataError(f"rows with {fault}: {listed(found)}", where=where, todo=todo)


def _label(row: Mapping[str, str]) -> Label:
    match = _GRADE.fullmatch(row["grade"])
    others = tuple((name, text) for name, text in row.items() if name not in {"key", "grade", "eye"})
    return Label(row["key"], int(match[1]) if match else None, _EYES[row.get("eye", "").casefold()], others)


def _differences(group: Sequence[Label]) -> str:
    """What rows of one photograph say; of patients only that they differ, since some clinics' ids are names."""
    patients = {dict(label.others).get("patient_id", "") for label in group}
    return " / ".join(map(_told, group)) + ("; the patients differ" if len(patients) > 1 else "")


def _told(label: Label) -> str:
    others = (text for name, text in label.others if name != "patient_id")
    return " ".join(filter(None, (f"grade {'none' if label.grade is None else label.grade}", label.eye.value, *others)))
