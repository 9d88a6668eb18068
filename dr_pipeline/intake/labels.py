"""Reads a label table: columns found by name, grades checked, repeated rows settled."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable, read_csv
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


def read_labels(path: Path, columns: Mapping[str, str]) -> LabelTable:
    """Reads a label table.

    Args:
        path: A UTF-8 CSV file.
        columns: From the manifest's column (plus "key", the photograph's name) to the table's own, blanks around it
            ignored; "key" and "grade" are needed, an empty name means that there is none.

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
    _refuse(path, "no name of a photograph", (" ".join(row.values()).strip() for row in cells if not row["key"]))
    _refuse(
        path,
        "a grade other than 0, 1, 2, 3, 4",
        (f"{row['key']}: {row['grade']!r}" for row in cells if row["grade"] and not _GRADE.fullmatch(row["grade"])),
    )
    _refuse(
        path,
        "an eye other than left, right, OS, OD",
        (f"{row['key']}: {row['eye']!r}" for row in cells if row.get("eye", "").casefold() not in _EYES),
    )
    warnings = (f"{path.name}: {blank} blank rows were left aside",) if blank else ()
    return LabelTable(tuple(_label(row) for row in cells), warnings)


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
        f"{name} ({' / '.join(_told(label) for label in group)})"
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
    try:
        table = read_csv(path)
    except OSError as error:
        raise DataError(f"the label table cannot be read: {error.strerror}", where=printable(path)) from None
    rows = [{name.strip(): cell for name, cell in row.items()} for row in table]
    filled = [row for row in rows if any(cell.strip() for cell in row.values())]
    return filled, len(rows) - len(filled)


def _check_header(path: Path, wanted: Iterable[str]) -> None:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = [name.strip() for name in next(csv.reader(stream), [])]
    faulty = [(name, header.count(name)) for name in wanted if header.count(name) != 1]
    if faulty:
        told = "; ".join(f"column {name!r} is {'there twice' if n else 'missing'}" for name, n in faulty)
        raise DataError(
            f"{told}; found {', '.join(repr(name) for name in header if name) or 'no header'}",
            where=str(path),
            todo="rename the column, or map it in params.yaml under dataset.folder.columns",
        )


def _refuse(path: Path, fault: str, offenders: Iterable[str]) -> None:
    found = list(offenders)
    if found:
        raise DataError(f"rows with {fault}: {listed(found)}", where=str(path), todo="correct the table")


def _label(row: Mapping[str, str]) -> Label:
    match = _GRADE.fullmatch(row["grade"])
    others = tuple((name, text) for name, text in row.items() if name not in {"key", "grade", "eye"})
    return Label(row["key"], int(match[1]) if match else None, _EYES[row.get("eye", "").casefold()], others)


def _told(label: Label) -> str:
    parts = [f"grade {'none' if label.grade is None else label.grade}", label.eye.value, *(t for _, t in label.others)]
    return " ".join(filter(None, parts))
