"""The phantom, drawn by this project: labels.csv and photographs."""

from pathlib import Path

from dr_pipeline.intake.join import read_table_layout
from dr_pipeline.intake.photographs import rules_of
from dr_pipeline.intake.records import Intake, Provenance
from dr_pipeline.params.data_source import Dataset

PROVENANCE = Provenance(
    name="synthetic phantom",
    licence="Apache-2.0 (drawn by this project)",
    citation="Drawn by dr_pipeline/intake/phantom; no photograph of a person is in it.",
)
COLUMNS = {"key": "image", "grade": "grade", "patient_id": "patient", "eye": "eye", "camera": "camera", "site": "site"}


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads the phantom, but not its ground-truth file, which lists the planted faults.

    Raises:
        DataError: The table, a column or the folder is missing or wrong.
    """
    return read_table_layout(
        root,
        photographs=root / "photographs",
        table=root / "labels.csv",
        columns=COLUMNS,
        provenance=PROVENANCE,
        rules=rules_of(dataset),
    )
