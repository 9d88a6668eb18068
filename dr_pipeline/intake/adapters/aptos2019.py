"""APTOS 2019: train.csv and train_images (not tried on the real download).

APTOS 2019 Blindness Detection is a Kaggle competition. The root contains `train.csv` (id_code, diagnosis) and
`train_images/<id_code>.png`. The competition's `test.csv` and `test_images` have no published grades and are not read.
Patients are unknown.

The layout is documented at https://www.kaggle.com/c/aptos2019-blindness-detection/data and in the repository
rajpurkarlab/BenchMD, src/datasets/fundus/aptos.py.
"""

from pathlib import Path

from dr_pipeline.intake.join import read_table_layout
from dr_pipeline.intake.photographs import rules_of
from dr_pipeline.intake.records import Intake, Provenance
from dr_pipeline.params.data_source import Dataset

PROVENANCE = Provenance(
    name="APTOS 2019 Blindness Detection",
    licence="the competition's rules, https://www.kaggle.com/c/aptos2019-blindness-detection/rules",
    citation="Asia Pacific Tele-Ophthalmology Society: APTOS 2019 Blindness Detection, Kaggle, 2019.",
)
COLUMNS = {"key": "id_code", "grade": "diagnosis"}


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the graded set.

    Raises:
        DataError: The table, a column or the folder is missing or wrong.
    """
    return read_table_layout(
        root,
        photographs=root / "train_images",
        table=root / "train.csv",
        columns=COLUMNS,
        provenance=PROVENANCE,
        rules=rules_of(dataset),
    )
