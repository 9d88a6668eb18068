"""How many patients tell a difference of quadratic weighted kappa from none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_pipeline.metrics.bootstrap import one_hot_cells
from dr_pipeline.metrics.kappa import kappa_of_confusions
from dr_pipeline.schema import NUM_GRADES


@dataclass(frozen=True)
class Needed:
    """The size of a study that finds a difference."""

    patients: int
    photographs: int


def kappa_spread(true: ArrayLike, predicted: ArrayLike, groups: Sequence[str]) -> float:
    """Standard error of kappa times √patients, by the jackknife over patients: it does not depend on their number.

    Returns:
        nan where there is one patient, or kappa is undefined without one of them.
    """
    return _spread([one_hot_cells(true, predicted)], groups)


def difference_spread(true: ArrayLike, first: ArrayLike, second: ArrayLike, groups: Sequence[str]) -> float:
    """The same of the difference of two graders on the same photographs: smaller, since they err alike."""
    return _spread([one_hot_cells(true, first), one_hot_cells(true, second)], groups)


def needed(
    difference: float, spread: float, photographs_per_patient: float, *, confidence: float, power: float
) -> Needed:
    """The patients and photographs whose interval excludes 0 with probability `power` if the difference is true.

    n = ((z(1 - α/2) + z(power)) · spread / difference)². For two graders on different patients the spread is
    √(spread² + spread²), and n is the number in each of the two sets.

    Args:
        difference: Of kappa, above 0, such as 0.05.
        spread: Of `kappa_spread` or `difference_spread`.
        photographs_per_patient: Mean number.
        confidence: Of the interval, such as 0.95.
        power: Such as 0.8.

    Raises:
        ValueError: A number is out of range.
    """
    if not (difference > 0 and spread >= 0 and photographs_per_patient > 0 and 0 < power < 1 and 0 < confidence < 1):
        raise ValueError(
            f"difference {difference}, spread {spread}, photographs {photographs_per_patient}, confidence "
            f"{confidence} or power {power} is out of range"
        )
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + confidence / 2) + normal.inv_cdf(power)
    patients = max(2, math.ceil((z * spread / difference) ** 2))
    return Needed(patients, math.ceil(patients * photographs_per_patient))


def _spread(cells: Sequence[NDArray[np.float64]], groups: Sequence[str]) -> float:
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return math.nan
    signs = (1.0, -1.0)
    without = np.zeros(len(names))
    for sign, values in zip(signs, cells, strict=False):
        of_group = np.zeros((len(names), NUM_GRADES**2))
        np.add.at(of_group, index, values)
        rest = (of_group.sum(axis=0) - of_group).reshape(-1, NUM_GRADES, NUM_GRADES)
        without += sign * kappa_of_confusions(rest)
    return float(math.sqrt((len(names) - 1) * float(((without - without.mean()) ** 2).sum())))
