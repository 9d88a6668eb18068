"""DeepDRiD: regular_fundus_images, two views per eye (not tried on the real download).

The root contains `regular_fundus_images` as in the repository: `regular-fundus-training`, `regular-fundus-validation`
with a CSV (patient_id, image_id, left_eye_DR_Level, right_eye_DR_Level, …) and `Images/<patient>/<image_id>.jpg`, and
`Online-Challenge1&2-Evaluation` with `Challenge1_labels.xlsx` (image_id, DR_Levels). `1_l2` is patient 1, left eye,
view 2. A row has one eye's grade only; level 5 is ungradable: no grade. Where the grade is in the other eye's
column than that of the name (56_r3), the eye is unknown. The files `regular-fundus-source-*.csv` contain the site. The
ultra-widefield photographs are not read.

The layout is documented in the repository deepdrdoc/DeepDRiD, README.md and the tables at commit 70af809.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.intake.coded_values import CodedValues
from dr_pipeline.intake.join import WITHOUT_PARTS, concatenate, join_labels
from dr_pipeline.intake.label_table import LabelTable, LabelText, check_labels, read_cells
from dr_pipeline.intake.photographs import list_photographs, rules_of
from dr_pipeline.intake.records import Intake, Provenance, shortlist
from dr_pipeline.intake.spreadsheet import read_xlsx
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Split

PROVENANCE = Provenance(
    name="DeepDRiD, regular fundus photographs",
    licence="as given in the repository, https://github.com/deepdrdoc/DeepDRiD",
    citation=(
        "Liu R. et al.: DeepDRiD: Diabetic Retinopathy—Grading and Image Quality Estimation Challenge. "
        "Patterns 2022;3(6):100512, doi:10.1016/j.patter.2022.100512."
    ),
)
_PART = "regular_fundus_images"
_TESTING = "Online-Challenge1&2-Evaluation"
_LEFT, _RIGHT = "left_eye_DR_Level", "right_eye_DR_Level"
_NAME = re.compile(r"(?P<patient>\d+)_(?P<eye>[lr])(?P<view>\d+)")
_VALUES = CodedValues(ungradable=("5",))


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads training and validation set, and the evaluation set where its labels are present.

    Raises:
        DataError: A table, a column or a folder is missing or wrong.
    """
    folder = root / _PART
    parts = [
        _part(root, folder / f"regular-fundus-{name}", name, split, rules_of(dataset))
        for name, split in (("training", Split.TRAIN), ("validation", Split.VALIDATION))
    ]
    table = folder / _TESTING / "Challenge1_labels.xlsx"
    if not table.exists():
        warning = f"{table.name} is not there: no official test set; {WITHOUT_PARTS}"
        both = concatenate(parts)
        return replace(both, warnings=(*both.warnings, warning))
    cells = read_xlsx(table, ("image_id", "DR_Levels"))
    rows = [_label(image_id, grade, split=Split.TEST) for image_id, grade in cells]
    labels = check_labels(rows, where=str(table), values=_VALUES)
    return concatenate([*parts, _join(root, folder / _TESTING, labels, table, rules_of(dataset))])


def _part(root: Path, folder: Path, name: str, split: Split, rules: FolderRules) -> Intake:
    table = folder / f"regular-fundus-{name}.csv"
    cells = read_cells(table, ("image_id", _LEFT, _RIGHT))
    sites = _sites(folder / f"regular-fundus-source-{name}.csv")
    two_grades = [image_id for image_id, left, right in cells if left and right]
    if two_grades:
        raise DataError(
            f"rows with grades of both eyes: {shortlist(two_grades)}", where=str(table), todo="download the table again"
        )
    rows = []
    contradicting = []
    for image_id, left, right in cells:
        row = _label(image_id, left or right, split=split, site=sites.get(image_id, ""))
        if (left and row.eye == "r") or (right and row.eye == "l"):
            contradicting.append(image_id)
            row = replace(row, eye="")
        rows.append(row)
    labels = check_labels(rows, where=str(table), values=_VALUES)
    warning = f"the grade stands in the other eye's column than the name says; eye unknown: {shortlist(contradicting)}"
    warnings = (*labels.warnings, warning) if contradicting else labels.warnings
    return _join(root, folder, LabelTable(labels.labels, warnings), table, rules)


def _join(root: Path, folder: Path, labels: LabelTable, table: Path, rules: FolderRules) -> Intake:
    listing = list_photographs(root, folder / "Images", rules=rules)
    intake = join_labels(listing, labels, where=str(table), provenance=PROVENANCE)
    return replace(intake, unparsed=tuple(record.path for record in intake.records if not record.patient_id))


def _label(image_id: str, grade: str, *, split: Split, site: str = "") -> LabelText:
    row = LabelText(key=image_id, grade=grade, site=site, official_split=split)
    match = _NAME.fullmatch(image_id)
    return replace(row, patient_id=match["patient"], eye=match["eye"], field=match["view"]) if match else row


def _sites(table: Path) -> Mapping[str, str]:
    if not table.exists():
        return {}
    return {image_id: site for image_id, site in read_cells(table, ("image_id", "Source"))}  # noqa: C416 - for mypy
