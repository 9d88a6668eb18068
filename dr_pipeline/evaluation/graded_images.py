"""The photographs of a split with the readers' and the model's grade, read from a table, and the misses among them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.files import read_csv
from dr_pipeline.schema import REFERABLE_FROM, VISION_THREATENING_FROM, Grade

_COLUMNS = ("image_id", "grade", "predicted", "status", "expected_grade", "referable_probability")


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

    @property
    def referable(self) -> NDArray[np.bool_]:
        """Whether the readers' grade is 2 or more, shape (N,)."""
        return np.asarray(self.true >= REFERABLE_FROM)

    @property
    def vision_threatening(self) -> NDArray[np.bool_]:
        """Whether the readers' grade is 3 or more, shape (N,)."""
        return np.asarray(self.true >= VISION_THREATENING_FROM)

    def dangerous(self) -> list[int]:
        """Rows of severe or proliferative disease called none or mild, the worst first."""
        missed = np.flatnonzero(self.vision_threatening & (self.predicted <= Grade.MILD))
        return sorted(missed.tolist(), key=lambda row: (self.predicted[row] - self.true[row], self.image_ids[row]))

    def largest_misses(self, count: int) -> list[int]:
        """The rows whose expected grade is farthest from the readers', the farthest first."""
        distance = np.abs(self.expected - self.true)
        order = sorted(range(len(self.image_ids)), key=lambda row: (-distance[row], self.image_ids[row]))
        return order[:count]


def read_graded(path: Path) -> Graded:
    """Reads data/validation/<candidate>/predictions.csv or data/test_predictions.csv.

    Rows without a grade by the model (not a fundus, failed) are left out; the figures count them.

    Raises:
        DataError: The table is missing or lacks a column.
    """
    rows = [row for row in read_csv(path, _COLUMNS) if row["grade"] and row["predicted"]]
    return Graded(
        image_ids=tuple(row["image_id"] for row in rows),
        true=np.array([int(row["grade"]) for row in rows], dtype=np.int64),
        predicted=np.array([int(row["predicted"]) for row in rows], dtype=np.int64),
        expected=np.array([float(row["expected_grade"]) for row in rows], dtype=np.float64),
        referable_probability=np.array([float(row["referable_probability"]) for row in rows], dtype=np.float64),
    )
