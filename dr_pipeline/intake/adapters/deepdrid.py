"""DeepDRiD, regular fundus photographs: two views of each eye, three official parts; not tried on the real download.

The root holds `regular_fundus_images` as in the repository: `regular-fundus-training` and `regular-fundus-validation`
with a CSV (patient_id, image_id, left_eye_DR_Level, right_eye_DR_Level, …) and `Images/<patient>/<image_id>.jpg`, and
`Online-Challenge1&2-Evaluation` with `Challenge1_labels.xlsx` (image_id, DR_Levels). `1_l2` is patient 1, left eye,
view 2. A row has one eye's grade only; level 5 is ungradable: no grade. Where the grade stands in the other eye's
column than the name says (56_r3), the eye is left unknown. The files `regular-fundus-source-*.csv` tell the site. The
ultra-widefield photographs are not read.

The layout is documented in the repository deepdrdoc/DeepDRiD, README.md and the tables at commit 70af809.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.intake.labels import LabelTable, labels_from
from dr_pipeline.intake.layout import WITHOUT_PARTS, labelled, merged
from dr_pipeline.intake.listing import list_photographs
from dr_pipeline.intake.records import Intake, Provenance, listed
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
_UNGRADABLE = "5"


def read(root: Path, dataset: Dataset) -> Intake:  # noqa: ARG001 - every adapter has this signature
    """Reads training and validation set, and the evaluation set where its labels are there.

    Raises:
        DataError: A table, a column or a folder is missing or wrong.
    """
    folder = root / _PART
    parts = [
        _part(root, folder / f"regular-fundus-{name}", name, split)
        for name, split in (("training", Split.TRAIN), ("validation", Split.VALIDATION))
    ]
    table = folder / _TESTING / "Challenge1_labels.xlsx"
    if not table.exists():
        return replace(
            merged(parts),
            warnings=(*merged(parts).warnings, f"{table.name} is not there: no official test set; {WITHOUT_PARTS}"),
        )
    rows = read_xlsx(table, ("image_id", "DR_Levels"))
    cells = [_cells(row["image_id"], row["DR_Levels"], "", Split.TEST) for row in rows]
    labels = labels_from(cells, where=str(table), ungradable=_UNGRADABLE)
    return merged([*parts, _joined(root, folder / _TESTING, labels, table)])


def _part(root: Path, folder: Path, name: str, split: Split) -> Intake:
    table = folder / f"regular-fundus-{name}.csv"
    rows = read_csv(table, ("image_id", _LEFT, _RIGHT))
    sites = _sites(folder / f"regular-fundus-source-{name}.csv")
    both = [row["image_id"] for row in rows if row[_LEFT].strip() and row[_RIGHT].strip()]
    if both:
        raise DataError(f"rows with grades of both eyes: {listed(both)}", where=str(table), todo="fetch the table anew")
    cells = []
    odd = []
    for row in rows:
        left, right = row[_LEFT].strip(), row[_RIGHT].strip()
        cell = _cells(row["image_id"], left or right, sites.get(row["image_id"].strip(), ""), split)
        if (left and cell["eye"] == "r") or (right and cell["eye"] == "l"):
            odd.append(row["image_id"])
            cell = {**cell, "eye": ""}
        cells.append(cell)
    labels = labels_from(cells, where=str(table), ungradable=_UNGRADABLE)
    told = (
        (f"the grade stands in the other eye's column than the name says; eye unknown: {listed(odd)}",) if odd else ()
    )
    return _joined(root, folder, LabelTable(labels.labels, (*labels.warnings, *told)), table)


def _joined(root: Path, folder: Path, labels: LabelTable, table: Path) -> Intake:
    intake = labelled(list_photographs(root, folder / "Images"), labels, where=str(table), provenance=PROVENANCE)
    return replace(intake, unparsed=tuple(record.path for record in intake.records if not record.patient_id))


def _cells(image_id: str, grade: str, site: str, split: Split) -> dict[str, str]:
    match = _NAME.fullmatch(image_id.strip())
    named = {"patient_id": match["patient"], "eye": match["eye"], "field": match["view"]} if match else {"eye": ""}
    return {"key": image_id.strip(), "grade": grade.strip(), **named, "site": site, "official_split": split}


def _sites(table: Path) -> Mapping[str, str]:
    if not table.exists():
        return {}
    return {row["image_id"].strip(): row["Source"].strip() for row in read_csv(table, ("image_id", "Source"))}
