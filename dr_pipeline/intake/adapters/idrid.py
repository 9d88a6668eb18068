"""IDRiD, part B: Disease Grading; of its two sets the training set was tried on the real download.

The official layout: the training set, and the testing set where it is present. Both number their photographs from
IDRiD_001. The training set keeps these names as image ids; in the testing set IDRiD_001 becomes IDRiD_test_001.
Patients and eyes are unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dr_pipeline.intake.join import concatenate, read_table_layout
from dr_pipeline.intake.photographs import rules_of, stems_as_ids
from dr_pipeline.intake.records import Intake, Provenance
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Split

PROVENANCE = Provenance(
    name="IDRiD, part B: Disease Grading",
    licence="CC-BY-4.0",
    citation=(
        "Porwal P. et al.: Indian Diabetic Retinopathy Image Dataset (IDRiD). Data 2018;3(3):25, "
        "doi:10.3390/data3030025."
    ),
)
COLUMNS = {"key": "Image name", "grade": "Retinopathy grade"}
_PART = "B. Disease Grading"
_PHOTOGRAPHS = "1. Original Images"
_LABELS = "2. Groundtruths"


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the official download; `root` contains "B. Disease Grading".

    Raises:
        DataError: A table, column or folder is missing or wrong.
    """
    part = root / _PART
    training = read_table_layout(
        root,
        photographs=part / _PHOTOGRAPHS / "a. Training Set",
        table=part / _LABELS / "a. IDRiD_Disease Grading_Training Labels.csv",
        columns=COLUMNS,
        provenance=PROVENANCE,
        official_split=Split.TRAIN,
        rules=rules_of(dataset),
    )
    if not (part / _PHOTOGRAPHS / "b. Testing Set").exists():
        return replace(
            training, warnings=(*training.warnings, "the official testing set is not there; training set only")
        )
    testing = read_table_layout(
        root,
        photographs=part / _PHOTOGRAPHS / "b. Testing Set",
        table=part / _LABELS / "b. IDRiD_Disease Grading_Testing Labels.csv",
        columns=COLUMNS,
        provenance=PROVENANCE,
        name_ids=_testing_ids,
        official_split=Split.TEST,
        rules=rules_of(dataset),
    )
    testing = replace(testing, orphan_rows=tuple(f"{name} (testing set)" for name in testing.orphan_rows))
    return concatenate([training, testing])


def _testing_ids(paths: Sequence[str]) -> dict[str, str]:
    return {path: name.replace("IDRiD_", "IDRiD_test_") for path, name in stems_as_ids(paths).items()}
