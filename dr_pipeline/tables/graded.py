"""data/validation/<candidate>/predictions.csv and data/test_predictions.csv: photographs with known grades."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dr_pipeline.errors import DataError
from dr_pipeline.schema import Status
from dr_pipeline.tables.table import Fixed6, GradeCell, Table, per_grade, require_finite, require_probabilities

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedRow:
    """One photograph with the readers' grade and the model's."""

    image_id: str
    patient_id: str
    group: str
    grade: GradeCell  # the true one
    logits: Annotated[tuple[float, ...], per_grade("logit")]
    probabilities: Annotated[tuple[float, ...], per_grade("p")]  # calibrated by the deployed decision
    expected_grade: Fixed6
    predicted: GradeCell  # validation: by a decision fitted on other photographs; test: by the deployed one
    predicted_locked: GradeCell  # by the deployed decision
    referable: bool  # as `predicted`
    referable_probability: Fixed6
    needs_human: bool
    status: Status

    def __post_init__(self) -> None:
        """Raises ValueError where the probabilities do not sum to 1, or a number is not finite."""
        require_probabilities(self.probabilities)
        require_finite(*self.logits, self.expected_grade, self.referable_probability)


GRADED = Table(GradedRow, version=VERSION)


def read_graded(path: Path) -> list[GradedRow]:
    """The rows of the table, each photograph once.

    Raises:
        DataError: The table is missing or damaged, or holds a photograph twice.
    """
    rows, seen = GRADED.read(path), set()
    for row in rows:
        if row.image_id in seen:
            raise DataError(f"holds {row.image_id!r} twice", where=str(path), todo="run `dvc repro`")
        seen.add(row.image_id)
    return rows


write_graded = GRADED.write
