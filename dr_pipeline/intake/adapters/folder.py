"""A clinic's own folder: a CSV with mapped columns, or class folders named 0 … 4, at any depth below the root."""

from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.intake.image_ids import ids_from_paths
from dr_pipeline.intake.layout import listing_warnings, read_table_layout
from dr_pipeline.intake.listing import list_photographs, relative_path
from dr_pipeline.intake.records import Intake, Provenance, Record, listed
from dr_pipeline.params.dataset import Dataset, FolderColumns
from dr_pipeline.schema import GRADES

PROVENANCE = Provenance(name="clinic folder", licence="the owner's", citation="")


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the folder as `dataset.folder` describes it.

    Raises:
        DataError: The table, a column or the folders are missing or wrong.
    """
    if not dataset.folder.labels:
        return _class_folders(root)
    table = relative_path(dataset.folder.labels)
    if table is None:
        raise DataError(
            f"the label table {dataset.folder.labels!r} leads out of the data set's folder",
            where="params.yaml, dataset.folder.labels",
            todo="put it below dataset.root and name it relative to that",
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
        raise DataError(f"class folders other than 0, 1, 2, 3, 4: {listed(outside)}", where=str(root))
    graded = {path: int(name) for path, name in grade_of.items() if _is_grade(name)}
    if not graded:
        raise DataError(
            "no photograph lies in a class folder named 0, 1, 2, 3 or 4",
            where=str(root),
            todo="sort them so, or name a label table in params.yaml under dataset.folder.labels",
        )
    ids = ids_from_paths(list(graded))
    return Intake(
        records=tuple(Record(ids[path], path, grade) for path, grade in graded.items()),
        provenance=PROVENANCE,
        orphan_files=tuple(path for path in listing.photographs if path not in graded),
        warnings=listing_warnings(listing),
        hidden_files=listing.hidden_files,
        other_files=listing.other_files,
    )


def _class_of(path: str) -> str:
    parts = PurePosixPath(path).parts
    return parts[0] if len(parts) > 1 else ""


def _is_grade(name: str) -> bool:
    return name in {str(grade) for grade in GRADES}
