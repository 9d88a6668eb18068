"""Kaggle 2015 (EyePACS): train, test and their tables (not tried on the real download).

The root contains `trainLabels.csv` (image, level) with `train/10_left.jpeg`, and, where they were downloaded,
`retinopathy_solution.csv` (image, level, Usage) with `test/`. A name is the patient's number and the eye.
Official parts: train; of the test set, Public (10,906 photographs) is validation and Private (42,670) is test, as in
TensorFlow Datasets and in Huang et al. 2023. Public and Private divide photographs, not patients: the recipe leaves out
groups that would be on both sides.

The layout is documented at https://www.kaggle.com/c/diabetic-retinopathy-detection/data and in the repository
tensorflow/datasets, tensorflow_datasets/image_classification/diabetic_retinopathy_detection.py.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.intake.join import WITHOUT_PARTS, concatenate, read_table_layout
from dr_pipeline.intake.photographs import rules_of
from dr_pipeline.intake.records import Intake, Provenance, Record, shortlist
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Eye, Split

PROVENANCE = Provenance(
    name="EyePACS (Kaggle Diabetic Retinopathy Detection, 2015)",
    licence="the competition's rules, https://www.kaggle.com/c/diabetic-retinopathy-detection/rules",
    citation="Kaggle and EyePACS: Diabetic Retinopathy Detection, 2015.",
)
COLUMNS = {"key": "image", "grade": "level"}
_USAGES = {"Public": Split.VALIDATION, "Private": Split.TEST}
_NAME = re.compile(r"(?P<patient>\d+)_(?P<eye>left|right)")


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the training set, and the test set where both its photographs and its solution are present.

    Raises:
        DataError: A table, a column or a folder is missing or wrong, or a Usage is neither Public nor Private.
    """
    training = read_table_layout(
        root,
        photographs=root / "train",
        table=root / "trainLabels.csv",
        columns=COLUMNS,
        provenance=PROVENANCE,
        official_split=Split.TRAIN,
        rules=rules_of(dataset),
    )
    absent = [name for name in ("test", "retinopathy_solution.csv") if not (root / name).exists()]
    if absent:
        intake = replace(
            training,
            warnings=(*training.warnings, f"{' and '.join(absent)} not there: training set only; {WITHOUT_PARTS}"),
        )
    else:
        intake = concatenate([training, _testing(root, dataset)])
    unparsed = tuple(
        record.path for record in intake.records if _NAME.fullmatch(PurePosixPath(record.path).stem) is None
    )
    return replace(intake, records=tuple(map(_with_patient, intake.records)), unparsed=unparsed)


def _testing(root: Path, dataset: Dataset) -> Intake:
    table = root / "retinopathy_solution.csv"
    testing = read_table_layout(
        root,
        photographs=root / "test",
        table=table,
        columns={**COLUMNS, "official_split": "Usage"},
        provenance=PROVENANCE,
        rules=rules_of(dataset),
    )
    _check_usages(testing.records, where=str(table))
    return replace(
        testing,
        records=tuple(replace(record, official_split=_USAGES[record.official_split]) for record in testing.records),
    )


def _check_usages(records: Iterable[Record], *, where: str) -> None:
    wrong = [
        f"{record.image_id}: {record.official_split!r}" for record in records if record.official_split not in _USAGES
    ]
    if wrong:
        raise DataError(
            f"a Usage other than Public and Private: {shortlist(wrong)}",
            where=where,
            todo="download the solution file again",
        )


def _with_patient(record: Record) -> Record:
    match = _NAME.fullmatch(PurePosixPath(record.path).stem)
    return replace(record, patient_id=match["patient"], eye=Eye(match["eye"])) if match else record
