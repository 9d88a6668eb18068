"""Graded photographs: the rows of their table, and its columns as arrays with the misses among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.schema import REFERABLE_FROM, VISION_THREATENING_FROM, Grade, Status
from dr_pipeline.tables.graded import GradedRow
from dr_pipeline.tables.splits import SplitRow


@dataclass(frozen=True)
class Graded:
    """N photographs that have a grade by the readers and one by the model.

    Attributes:
        image_ids: N names.
        true: By the readers, shape (N,).
        predicted: By the model, shape (N,).
        expected: Mean grade under the model's probabilities, shape (N,).
        referable_probability: Of grade 2 or more, shape (N,).
    """

    image_ids: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    expected: NDArray[np.float64]
    referable_probability: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[GradedRow]) -> "Graded":
        """The columns of the table as arrays."""
        return cls(
            image_ids=tuple(row.image_id for row in rows),
            true=np.array([row.grade for row in rows], dtype=np.int64),
            predicted=np.array([row.predicted for row in rows], dtype=np.int64),
            expected=np.array([row.expected_grade for row in rows], dtype=np.float64),
            referable_probability=np.array([row.referable_probability for row in rows], dtype=np.float64),
        )

    @property
    def referable(self) -> NDArray[np.bool_]:
        """Whether the readers' grade is 2 or more, shape (N,)."""
        return np.asarray(self.true >= REFERABLE_FROM)

    @property
    def vision_threatening(self) -> NDArray[np.bool_]:
        """Whether the readers' grade is 3 or more, shape (N,)."""
        return np.asarray(self.true >= VISION_THREATENING_FROM)

    def missed_vision_threatening(self) -> list[int]:
        """Rows of severe or proliferative disease called none or mild, the worst first."""
        missed = np.flatnonzero(self.vision_threatening & (self.predicted <= Grade.MILD))
        return sorted(missed.tolist(), key=lambda row: (self.predicted[row] - self.true[row], self.image_ids[row]))

    def largest_misses(self, count: int) -> list[int]:
        """The rows whose expected grade is farthest from the readers', the farthest first."""
        distance = np.abs(self.expected - self.true)
        order = sorted(range(len(self.image_ids)), key=lambda row: (-distance[row], self.image_ids[row]))
        return order[:count]


def graded_rows(
    rows: Sequence[SplitRow],
    statuses: Sequence[Status],
    logits: NDArray[Any],
    deployed: Decided,
    cross_fitted: Decided,
) -> list[GradedRow]:
    """The rows of data/validation/<candidate>/predictions.csv or data/test_predictions.csv.

    Args:
        rows: The photographs, N of them.
        statuses: Their quality statuses.
        logits: Shape (N, 5).
        deployed: Grades by the deployed decision.
        cross_fitted: Grades that the figures are computed from; on the test part those of the deployed decision.
    """
    return [
        GradedRow(
            image_id=row.image_id,
            patient_id=row.patient_id,
            group=row.group,
            grade=row.grade,
            logits=tuple(logits[index].tolist()),
            probabilities=tuple(deployed.probabilities[index].tolist()),
            expected_grade=float(deployed.expected_grade[index]),
            predicted=int(cross_fitted.grade[index]),
            predicted_locked=int(deployed.grade[index]),
            referable=bool(cross_fitted.referable[index]),
            referable_probability=float(deployed.referable_probability[index]),
            needs_human=bool(deployed.needs_human[index]),
            status=status,
        )
        for index, (row, status) in enumerate(zip(rows, statuses, strict=True))
    ]
