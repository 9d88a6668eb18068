"""A clinic's own folder: a CSV, or class folders 0 … 4; file names may contain patient and eye.

The photographs may be at any depth below the root. Where `dataset.folder.name_pattern` is set, patient, eye, visit,
field and site are read from the paths; the table takes precedence, and paths that do not match the pattern are listed.
Where `dataset.folder.columns.grader` names a column, a photograph may have a row per grader, see `merge_readings.py`.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.intake.join import read_table_layout
from dr_pipeline.intake.name_pattern import compile_pattern, parse_names
from dr_pipeline.intake.photographs import ids_from_paths, list_photographs, relative_path
from dr_pipeline.intake.records import Intake, Provenance, Record, shortlist
from dr_pipeline.params.data_source import Dataset, FolderColumns
from dr_pipeline.schema import GRADES

PROVENANCE = Provenance(name="clinic folder", licence="the owner's", citation="")


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the folder as `dataset.folder` describes it.

    Raises:
        DataError: The table, a column or the folders are missing or wrong, or names contradict the table.
        ParamsError: The pattern is wrong.
    """
    pattern = compile_pattern(dataset.folder.name_pattern) if dataset.folder.name_pattern else None
    intake = _with_table(root, dataset) if dataset.folder.labels else _class_folders(root)
    if pattern is None:
        return intake
    records, unparsed = parse_names(intake.records, pattern)
    return replace(intake, records=records, unparsed=unparsed)


def _with_table(root: Path, dataset: Dataset) -> Intake:
    table = relative_path(dataset.folder.labels)
    if table is None:
        raise DataError(
            f"the label table {dataset.folder.labels!r} leads outside the data set's folder",
            where="params.yaml, dataset.folder.labels",
            todo="move it below dataset.root and name it relative to that",
        )
    if not (root / table).exists():
        raise DataError(
            f"the label table {dataset.folder.labels!r} is not in the data set's folder",
            where=str(root),
            todo='put it there, or name yours in params.yaml under dataset.folder.labels ("" for class folders 0 … 4)',
        )
    return read_table_layout(
        root,
        photographs=root,
        table=root / table,
        columns=_columns(dataset.folder.columns),
        provenance=PROVENANCE,
        name_ids=ids_from_paths,
    )


def _columns(columns: FolderColumns) -> dict[str, str]:
    return {
        "key": columns.image,
        "grade": columns.grade,
        "patient_id": columns.patient,
        "eye": columns.eye,
        "visit": columns.visit,
        "site": columns.site,
        "camera": columns.camera,
        "grader": columns.grader,
    }


def _class_folders(root: Path) -> Intake:
    listing = list_photographs(root, root)
    grade_of = {path: _class_of(path) for path in listing.photographs}
    outside = sorted({name for name in grade_of.values() if name.lstrip("-").isdecimal() and not _is_grade(name)})
    if outside:
        raise DataError(
            f"class folders other than 0, 1, 2, 3, 4: {shortlist(outside)}",
            where=str(root),
            todo="rename them, move them away, or name a label table in params.yaml under dataset.folder.labels",
        )
    graded = {path: int(name) for path, name in grade_of.items() if _is_grade(name)}
    if not graded:
        raise DataError(
            "no photograph is in a class folder named 0, 1, 2, 3 or 4",
            where=str(root),
            todo="arrange them so, or name a label table in params.yaml under dataset.folder.labels",
        )
    ids = ids_from_paths(list(graded))
    return Intake(
        records=tuple(Record(ids[path], path, grade) for path, grade in graded.items()),
        provenance=PROVENANCE,
        orphan_files=(*(path for path in listing.photographs if path not in graded), *listing.unnameable),
        warnings=listing.warnings(),
        hidden_files=listing.hidden_files,
        other_files=listing.other_files,
    )


def _class_of(path: str) -> str:
    parts = PurePosixPath(path).parts
    return parts[0] if len(parts) > 1 else ""


def _is_grade(name: str) -> bool:
    return name in {str(grade) for grade in GRADES}
