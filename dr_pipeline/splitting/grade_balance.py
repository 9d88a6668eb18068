"""Whether the parts' grades look like one population: Pearson's chi-square over groups by their worse eye."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dr_pipeline.splitting.tails import chi_square_p


@dataclass(frozen=True)
class GradeTest:
    """Pearson's chi-square of parts by grade.

    Attributes:
        chi_square: The statistic; 0 where all parts are alike.
        degrees_of_freedom: (parts - 1) * (grades - 1), of those that hold anything.
        p: Chance of a statistic as large where parts are drawn blindly. A stratified draw gives nearly 1.
    """

    chi_square: float
    degrees_of_freedom: int
    p: float

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def grade_test(strata: Mapping[str, Counter[int]]) -> GradeTest:
    """Compares the parts' grades, each group counted once, since its photographs are not independent.

    Args:
        strata: Groups by the grade of the worse eye, of each part.
    """
    grades = sorted({grade for counts in strata.values() for grade in counts if counts[grade]})
    table = np.array([[counts[grade] for grade in grades] for counts in strata.values() if counts.total()], dtype=float)
    if min(table.shape) < 2:
        return GradeTest(0.0, 0, 1.0)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    return GradeTest(statistic, degrees, chi_square_p(statistic, degrees))
