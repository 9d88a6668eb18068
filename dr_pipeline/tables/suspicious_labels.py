"""Labels worth a second reading: the list, and the columns of the prediction tables it is made from."""

from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.tables.table import Fixed6, GradeCell, Table, per_grade, require_probabilities

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspiciousLabelRow:
    """One label that out-of-fold predictions contradict."""

    rank: int  # 1: the most suspicious
    image_id: str
    grade: GradeCell  # the label
    suggested: GradeCell
    distance: int  # in grades, between the two
    margin: Fixed6
    confident: bool  # by confident learning; else by the distance alone
    probabilities: Annotated[tuple[float, ...], per_grade("p")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPredictionRow:
    """What is read of a table of predictions with labels."""

    image_id: str
    grade: GradeCell | None
    probabilities: Annotated[tuple[float, ...], per_grade("p")] | None

    def __post_init__(self) -> None:
        """Raises ValueError where the probabilities do not sum to 1 within their six decimals."""
        if self.probabilities is not None:
            require_probabilities(self.probabilities)


SUSPICIOUS_LABELS = Table(SuspiciousLabelRow, version=VERSION)
read_suspicious_labels = SUSPICIOUS_LABELS.read
write_suspicious_labels = SUSPICIOUS_LABELS.write

LABELLED_PREDICTIONS = Table(LabelledPredictionRow, version=None, todo="correct the table, or write it again")
iterate_labelled_predictions = LABELLED_PREDICTIONS.iterate
