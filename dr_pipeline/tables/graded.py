"""data/validation/<candidate>/predictions.csv and data/test_predictions.csv: photographs with known grades."""

from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.schema import Status
from dr_pipeline.tables.table import Fixed6, GradeCell, Table, per_grade

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


GRADED = Table(GradedRow, version=VERSION)
read_graded = GRADED.read
write_graded = GRADED.write
