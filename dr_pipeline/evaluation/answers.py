"""What a grader answered for photographs, as a clinic receives it: a photograph without a grade is referred."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.schema import Status
from dr_pipeline.tables.compared import ComparedRow
from dr_pipeline.tables.graded import GradedRow


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

    @classmethod
    def of_compared(cls, rows: Sequence[ComparedRow]) -> "Answers":
        """The answers of a registered version: on validation, grade and referral by decisions fitted on others."""
        return cls(
            status=tuple(row.status for row in rows),
            grade=np.array([row.predicted for row in rows], dtype=np.int64),
            probabilities=np.array([row.probabilities for row in rows], dtype=np.float64).reshape(len(rows), -1),
            referable=np.array([row.referable for row in rows], dtype=np.bool_),
            referable_probability=np.array([row.referable_probability for row in rows], dtype=np.float64),
        )

    @classmethod
    def of_decided(cls, decided: Decided, statuses: Sequence[Status]) -> "Answers":
        """The answers of a decision for photographs that all have logits."""
        return cls(
            tuple(statuses), decided.grade, decided.probabilities, decided.referable, decided.referable_probability
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
