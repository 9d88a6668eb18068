"""Photographs with their grades: a clinic's own labelled folder, or a part of a split that the pipeline made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.intake.coded_values import fold
from dr_pipeline.intake.join import read_table_layout
from dr_pipeline.intake.label_table import describe_header
from dr_pipeline.intake.patient_ids import known_patients
from dr_pipeline.intake.photographs import ids_from_paths
from dr_pipeline.intake.records import Provenance, Record, shortlist
from dr_pipeline.logs import logger
from dr_pipeline.tables.foreign_csv import foreign_header
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.splits import read_splits

# Names of columns, in any case, with blanks or underscores; the first that a table has.
COLUMNS = {
    "key": ("path", "image", "image_id", "file", "filename", "file_name", "image_name", "image_path", "id_code"),
    "grade": ("grade", "level", "diagnosis", "adjudicated_dr_grade", "dr_grade", "retinopathy_grade", "label"),
    "patient_id": ("patient", "patient_id", "patientid"),
}
_PREDICTED = "bundle_id"  # a column that tables of predictions have: their grades are the network's own
_PROVENANCE = Provenance("labelled photographs", "", "")
# The table names the photographs, so that it is no accident where a link leads.
_RULES = FolderRules(follow_links=True)


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
    """The photographs of a label table that have a grade; what was left out or guessed is logged.

    Args:
        folder: The photographs.
        labels: As in `find_columns`.

    Raises:
        DataError: As in `find_columns` and `read_graded_records`; or no photograph has a grade.
    """
    records, warnings = read_graded_records(folder, labels, find_columns(labels))
    if not records:
        raise DataError("no photograph has a grade", where=printable(labels), todo="fill in the column of the grades")
    for warning in warnings:
        logger.warning("%s", warning)
    return [
        GradedFile(
            folder / record.path,
            record.grade or 0,
            f"patient:{record.patient_id}" if record.patient_id else f"file:{record.path}",
        )
        for record in records
    ]


def find_columns(labels: Path, named: Mapping[str, str] | None = None) -> dict[str, str]:
    """The table's own name of each column that it has, by the fields of `LabelText`: key, grade and patient_id.

    Args:
        labels: A CSV, see `iterate_foreign`, with a column of the photographs' names and one of their grades, and where
            patients are known one of these, by the names in COLUMNS.
        named: The names that the user gave by --key-column and the like, by field; empty: by COLUMNS. None: the command
            has no such option.

    Raises:
        DataError: The table cannot be read, lacks a column, or is one of predictions.
    """
    header = foreign_header(labels)
    by_name = {fold(name): name for name in reversed(header)}  # of two that are equal so the first
    if fold(_PREDICTED) in by_name:
        raise DataError(
            "this is a table of predictions, not of readers' grades",
            where=printable(labels),
            todo="name the table of grades that readers gave",
        )
    found = {}
    for field, aliases in COLUMNS.items():
        usual = next((by_name[fold(alias)] for alias in aliases if fold(alias) in by_name), "")
        found[field] = (named or {}).get(field) or usual
        if field != "patient_id" and not found[field]:
            option = "" if named is None else f", or name its column by --{field}-column"
            raise DataError(
                f"no column {' or '.join(aliases)}; found {describe_header(header)[0]}",
                where=printable(labels),
                todo=f"name the table's columns so, in the first row{option}",
            )
    return {field: name for field, name in found.items() if name}


def read_graded_records(folder: Path, labels: Path, columns: Mapping[str, str]) -> tuple[list[Record], tuple[str, ...]]:
    """The photographs of a label table that have a grade, in its order, and sentences on what was left out or guessed.

    A patient has one spelling, and an id that names nobody (unknown, 999999) is empty, see `known_patients`.

    Args:
        folder: The photographs; links out of it are followed.
        labels: The table.
        columns: As in `read_labels`.

    Raises:
        DataError: The table cannot be used, see `read_labels` and `join_labels`, or names a photograph that is not
            there.
    """
    intake = read_table_layout(
        folder,
        photographs=folder,
        table=labels,
        columns=columns,
        provenance=_PROVENANCE,
        name_ids=ids_from_paths,
        rules=_RULES,
    )
    if intake.orphan_rows:
        raise DataError(
            f"labels without a photograph: {shortlist(map(printable, intake.orphan_rows))}",
            where=printable(labels),
            todo=f"name the folder with the photographs, not {printable(folder)}; or correct or remove these rows",
        )
    patients = known_patients([record.patient_id for record in intake.records])
    records = [replace(record, patient_id=patient) for record, patient in zip(intake.records, patients, strict=True)]
    graded = [record for record in records if record.grade is not None]
    warnings = list(intake.warnings)
    if num_ungraded := len(records) - len(graded):
        warnings.append(f"{num_ungraded} rows without a grade are not used")
    if intake.orphan_files:
        warnings.append(f"{len(intake.orphan_files)} photographs without a label are not used")
    if num_nobody := sum(bool(old.patient_id and not new) for old, new in zip(intake.records, patients, strict=True)):
        warnings.append(f"{num_nobody} photographs have a patient id that names nobody, such as unknown")
    return graded, tuple(warnings)


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


def _require_files(folder: Path, names: Sequence[str], *, where: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(names)} photographs are not in {printable(folder)}: {shortlist(missing)}",
            where=where,
            todo="write paths below the folder, with their suffixes",
        )
