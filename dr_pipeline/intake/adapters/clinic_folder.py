"""A clinic's own folder: a CSV, or class folders 0 … 4; file names may contain patient and eye.

The photographs may be at any depth below the root. `dataset.folder.values` maps the words of the table or of the class
folders, which may lie below folders of the official parts, see `class_folders.py`. Where `dataset.folder.name_pattern`
is set, patient, eye, visit, field and site are read from the paths; the table takes precedence, and paths that do not
match the pattern are listed. Where `dataset.folder.columns.grader` names a column, a photograph may have a row per
grader, see `merge_readings.py`.
"""

from dataclasses import replace
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.intake.class_folders import read_class_folders
from dr_pipeline.intake.coded_values import CodedValues
from dr_pipeline.intake.join import read_table_layout
from dr_pipeline.intake.name_pattern import compile_pattern, parse_names
from dr_pipeline.intake.photographs import ids_from_paths, list_photographs, relative_path, rules_of
from dr_pipeline.intake.records import Intake, Provenance, Record
from dr_pipeline.params.data_source import Dataset, FolderColumns, FolderValues
from dr_pipeline.schema import Eye, Split

_EYES = {"left": Eye.LEFT, "right": Eye.RIGHT, "unknown": Eye.UNKNOWN}


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the folder as `dataset.folder` describes it.

    Raises:
        DataError: The table, a column or the folders are missing or wrong, or names contradict the table.
        ParamsError: The pattern is wrong.
    """
    pattern = compile_pattern(dataset.folder.name_pattern) if dataset.folder.name_pattern else None
    values = _values(dataset.folder.values)
    intake = _with_table(root, dataset, values) if dataset.folder.labels else _class_folders(root, dataset, values)
    if pattern is None:
        return intake
    records, unparsed = parse_names(intake.records, pattern, values)
    return replace(intake, records=records, unparsed=unparsed)


def _values(values: FolderValues) -> CodedValues:
    return CodedValues(
        grades=values.grade,
        eyes={word: _EYES[eye] for word, eye in values.eye.items()},
        parts={word: Split(part) for word, part in values.part.items()},
        ungradable=tuple(map(str, values.ungradable)),
        params_key="dataset.folder.values",
    )


def _provenance(dataset: Dataset) -> Provenance:
    stated = dataset.folder.provenance
    return Provenance(name=stated.name, licence=stated.licence, citation=stated.citation)


def _with_table(root: Path, dataset: Dataset, values: CodedValues) -> Intake:
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
        provenance=_provenance(dataset),
        name_ids=ids_from_paths,
        values=values,
        rules=rules_of(dataset),
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
        "part": columns.part,
        "ungradable": columns.ungradable,
    }


def _class_folders(root: Path, dataset: Dataset, values: CodedValues) -> Intake:
    listing = list_photographs(root, root, rules=rules_of(dataset))
    placed = read_class_folders(listing.photographs, values, where=root)
    ids = ids_from_paths(list(placed))
    num_ungradable = sum(place.grade is None for place in placed.values())
    ungradable = (f"{num_ungradable} photographs are in a folder of ungradable ones; they have no grade",)
    return Intake(
        records=tuple(
            Record(ids[path], path, place.grade, official_split=place.part or "") for path, place in placed.items()
        ),
        provenance=_provenance(dataset),
        orphan_files=(*(path for path in listing.photographs if path not in placed), *listing.unnameable),
        warnings=(*(ungradable if num_ungradable else ()), *listing.warnings()),
        left_aside=listing.left_aside,
    )
