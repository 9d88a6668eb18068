"""Photographs with their grades: a clinic's own labelled folder, or a part of a split that the pipeline made."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable, read_csv, read_csv_header
from dr_pipeline.intake.coded_values import PLAIN
from dr_pipeline.intake.records import shortlist
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.splits import read_splits

# Names of columns, in any case; the first that a table has.
_COLUMNS = {
    "key": ("path", "file", "filename", "image"),
    "grade": ("grade", "label", "diagnosis"),
    "patient_id": ("patient", "patient_id"),
}


@dataclass(frozen=True)
class GradedFile:
    """One photograph.

    Attributes:
        path: Its file.
        grade: By the readers, 0 … 4.
        group: The patient, or whatever stays together; the file itself where the patient is unknown.
    """

    path: Path
    grade: int
    group: str


def read_graded_folder(folder: Path, labels: Path) -> list[GradedFile]:
    """The photographs of a label table that have a grade.

    Args:
        folder: The photographs.
        labels: CSV with a column path, file, filename or image (paths below `folder`), a column grade, label or
            diagnosis, and where patients are known a column patient or patient_id.

    Raises:
        DataError: The table cannot be read, lacks a column, has a grade that is none, names one photograph twice or one
            that is not there, or no photograph has a grade.
    """
    columns = _find_columns(labels)
    graded: list[tuple[str, int, str]] = []
    for number, row in enumerate(read_csv(labels), start=2):
        cells = {field: row[column].strip() for field, column in columns.items()}
        grade, patient = PLAIN.grade(cells["grade"]), cells.get("patient_id")
        if cells["grade"] and (grade is None or not cells["key"]):
            raise DataError(
                "a grade other than 0, 1, 2, 3, 4, or no name of a photograph",
                where=f"{printable(labels)}, row {number}",
                todo="correct the table; leave the grade empty where a photograph is not graded",
            )
        if grade is not None:
            graded.append((cells["key"], grade, f"patient:{patient}" if patient else f"file:{cells['key']}"))
    if not graded:
        raise DataError("no photograph has a grade", where=printable(labels), todo="fill in the column of the grades")
    names = Counter(name for name, _, _ in graded)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise DataError(f"named twice: {shortlist(twice)}", where=printable(labels), todo="keep one grade of each")
    _require_files(folder, list(names), where=printable(labels))
    return [GradedFile(folder / name, grade, group) for name, grade, group in graded]


def read_split_part(folder: Path, manifest: Path, splits: Path, part: str) -> list[GradedFile]:
    """The photographs of one part of a split.

    Args:
        folder: The root of the data set.
        manifest: data/manifest.csv, which has their paths.
        splits: data/splits.csv, which has their groups and grades.
        part: "test" or "development".

    Raises:
        DataError: A table cannot be read, the part is empty, or a photograph is not in the manifest or not there.
    """
    rows = [row for row in read_splits(splits) if row.split == part]
    if not rows:
        raise DataError(f"the part {part!r} is empty", where=printable(splits), todo="run `dvc repro split`")
    paths = {row.image_id: row.path for row in read_manifest(manifest)}
    unknown = sorted({row.image_id for row in rows} - set(paths))
    if unknown:
        raise DataError(
            f"{len(unknown)} photographs of the split are not in the manifest: {shortlist(unknown)}",
            where=printable(manifest),
            todo="give the manifest that the split was made from",
        )
    _require_files(folder, [paths[row.image_id] for row in rows], where=printable(manifest))
    return [GradedFile(folder / paths[row.image_id], row.grade, row.group) for row in rows]


def _find_columns(labels: Path) -> dict[str, str]:
    try:
        header = read_csv_header(labels)
    except OSError as error:
        raise DataError(f"the table cannot be read: {error.strerror}", where=printable(labels)) from None
    found = {
        field: next((name for alias in aliases for name in header if name.strip().casefold() == alias), "")
        for field, aliases in _COLUMNS.items()
    }
    for field in ("key", "grade"):
        if not found[field]:
            raise DataError(
                f"no column {' or '.join(_COLUMNS[field])}; found {', '.join(header) or 'no header'}",
                where=printable(labels),
                todo="name the table's columns so, in the first row",
            )
    return {field: name for field, name in found.items() if name}


def _require_files(folder: Path, names: Sequence[str], *, where: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(names)} photographs are not in {printable(folder)}: {shortlist(missing)}",
            where=where,
            todo="write paths below the folder, with their suffixes",
        )
