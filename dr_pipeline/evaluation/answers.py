"""What a grader answered for photographs, as a clinic receives it: a photograph without a grade is referred."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.schema import Status
from dr_pipeline.tables.graded import GradedRow

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Answers:
    """What a grader answered for N photographs.

    Attributes:
        status: N statuses; ungradable photographs have an answer, too.
        grade: At the deployed cut points, shape (N,); -1 where there is no answer.
        probabilities: Shape (N, 5); nan where there is no answer.
        referable: At the deployed operating point, shape (N,); False where there is no answer.
        referable_probability: Shape (N,); nan where there is no answer.
    """

    status: tuple[Status, ...]
    grade: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    referable: NDArray[np.bool_]
    referable_probability: NDArray[np.float64]

    @classmethod
    def of_rows(cls, rows: Sequence[GradedRow]) -> "Answers":
        """The answers of a table of graded photographs, by the deployed decision."""
        return cls(
            status=tuple(row.status for row in rows),
            grade=np.array([row.predicted_locked for row in rows], dtype=np.int64),
            probabilities=np.array([row.probabilities for row in rows], dtype=np.float64).reshape(len(rows), -1),
            referable=np.array([row.referable for row in rows], dtype=np.bool_),
            referable_probability=np.array([row.referable_probability for row in rows], dtype=np.float64),
        )

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Shape (N,)."""
        return np.asarray(self.grade >= 0)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Whether a clinic would see the grade, shape (N,)."""
        return np.array([status is Status.SCORED for status in self.status], dtype=np.bool_)

    @property
    def referred(self) -> NDArray[np.bool_]:
        """Whether the patient goes to a person, by intention to screen: referable or without a grade; shape (N,)."""
        return np.asarray(self.referable | ~self.scored)

    def select(self, rows: NDArray[np.int64]) -> "Answers":
        """The answers for some photographs."""
        return Answers(
            tuple(self.status[row] for row in rows.tolist()),
            self.grade[rows],
            self.probabilities[rows],
            self.referable[rows],
            self.referable_probability[rows],
        )

    def equals(self, other: "Answers") -> bool:
        """Whether the other answers are the same, to the last digit."""
        names = ("grade", "probabilities", "referable", "referable_probability")
        equal = (np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True) for name in names)
        return self.status == other.status and all(equal)


def require_sound(rows: Sequence[GradedRow], *, where: str) -> None:
    """Checks a table of graded photographs.

    Raises:
        DataError: It is empty, holds a photograph twice, or probabilities that are none.
    """
    if not rows:
        raise DataError("the table has no photograph", where=where, todo="give the predictions of a test")
    twice = [name for name, count in Counter(row.image_id for row in rows).items() if count > 1]
    if twice:
        raise DataError(f"holds {len(twice)} photographs twice, such as {twice[0]!r}", where=where, todo="keep one row")
    for row in rows:
        values = np.asarray([*row.probabilities, row.referable_probability])
        if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all()):
            fault = "is not a number from 0 to 1"
        elif abs(sum(row.probabilities) - 1) > _SUM_TOLERANCE:
            fault = f"sum is {sum(row.probabilities):.4f}, not 1"
        else:
            continue
        raise DataError(f"a probability of {row.image_id!r}: {fault}", where=where, todo="write the table again")
