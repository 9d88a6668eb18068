"""Whether the parts' grades are one population: Pearson's chi-square over groups by the grade of the worse eye."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class GradeTest:
    """Pearson's chi-square of parts by grade.

    Attributes:
        chi_square: The statistic; 0 where all parts have equal proportions.
        degrees_of_freedom: (parts - 1) * (grades - 1), of those that are not empty.
        p: Probability of a statistic as large under random assignment. A stratified one gives nearly 1.
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
    from scipy.stats import chi2_contingency

    grades = sorted({grade for counts in strata.values() for grade in counts if counts[grade]})
    table = np.array([[counts[grade] for grade in grades] for counts in strata.values() if counts.total()], dtype=float)
    if min(table.shape) < 2:
        return GradeTest(0.0, 0, 1.0)
    statistic, p, degrees, _ = chi2_contingency(table, correction=False)
    return GradeTest(float(statistic), int(degrees), float(p))
