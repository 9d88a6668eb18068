"""Tests of two graders on the same photographs: McNemar of their hits, DeLong of their areas; both by patient.

Two eyes of a patient are alike, so that a test with photographs as units finds differences that are not there. With
every photograph its own group the tests are those of the textbook.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.intervals import Estimate

_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedTest:
    """A difference of two graders with its p-value; nan: undefined.

    Attributes:
        difference: The first grader's figure minus the second's.
        p_value: Two-sided.
        only_first: Photographs that only the first grader has right; None where that is not counted.
        only_second: Those that only the second one has right.
    """

    difference: Estimate
    p_value: float
    only_first: int | None = None
    only_second: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: the difference as an estimate, with `p_value` and the counts."""
        counts = {"only_first": self.only_first, "only_second": self.only_second}
        return (
            self.difference.to_dict()
            | {"p_value": self.p_value if math.isfinite(self.p_value) else None}
            | {name: count for name, count in counts.items() if count is not None}
        )


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test of independent photographs: a binomial with probability 1/2."""
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    fewer = min(only_first, only_second)
    tail = sum(math.comb(discordant, count) for count in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**discordant))


def mcnemar(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: Sequence[str], confidence: float
) -> PairedTest:
    """McNemar's test of clustered pairs (modified Obuchowski test: Yang, Sun, Hardin, Biom J 2010;52:638).

    χ² = (Σ d)² / Σ d² with d the difference of hits in a group. Without clusters it is McNemar's (b - c)² / (b + c).

    Args:
        first: Whether the first grader is right, shape (N,).
        second: The same of the second.
        groups: The patient of each, N names.
        confidence: Of the difference of the fractions that are right, such as 0.95.
    """
    n = len(first)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if n == 0:
        return PairedTest(Estimate(math.nan, math.nan, math.nan, 0), math.nan, 0, 0)
    signs = first.astype(np.float64) - second
    differences = _sums(signs, groups)
    square = float(differences @ differences)
    p_value = _two_sided(float(differences.sum()) / math.sqrt(square)) if square else 1.0
    value = float(signs.mean())
    centred = _sums(signs - value, groups)
    variance = _corrected(len(centred)) * float(centred @ centred) / n**2
    return PairedTest(_normal(value, variance, confidence, n), p_value, only_first, only_second)


def delong(
    first: NDArray[Any], second: NDArray[Any], positive: NDArray[np.bool_], groups: Sequence[str], confidence: float
) -> PairedTest:
    """The difference of two areas under the ROC curve on the same photographs.

    DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837; with several photographs of a patient Obuchowski,
    Biometrics 1997;53:567: the structural components are summed by patient.

    Args:
        first: Scores of the first grader, shape (N,).
        second: Those of the second.
        positive: Shape (N,).
        groups: The patient of each, N names.
        confidence: Such as 0.95.

    Returns:
        nan where only one class occurs; no interval, and p 1, where the graders order every pair alike.
    """
    if positive.all() or not positive.any():
        return PairedTest(Estimate(math.nan, math.nan, math.nan, len(positive)), math.nan)
    areas, variance = _difference_of_areas([first, second], positive, groups)
    difference = areas[0] - areas[1]
    if variance < _ROUNDING:
        return PairedTest(Estimate(difference, math.nan, math.nan, len(positive)), 1.0 if not difference else math.nan)
    estimate = _normal(difference, variance, confidence, len(positive))
    return PairedTest(estimate, _two_sided(difference / math.sqrt(variance)))


def _difference_of_areas(
    graders: Sequence[NDArray[Any]], positive: NDArray[np.bool_], groups: Sequence[str]
) -> tuple[list[float], float]:
    """Both areas, and the variance of their difference, in which every component is a difference, too."""
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    components, areas = np.zeros(len(positive)), []
    for sign, scores in zip((1.0, -1.0), graders, strict=True):
        ranks = _midranks(scores)
        placement = np.empty(len(scores))  # among those of the other class, 0 … 1, 1 being right
        placement[positive] = (ranks[positive] - _midranks(scores[positive])) / num_negative
        placement[~positive] = 1.0 - (ranks[~positive] - _midranks(scores[~positive])) / num_positive
        area = float(placement[positive].mean())
        areas.append(area)
        components += sign * (placement - area)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    of_positive = np.bincount(index[positive], components[positive], minlength=len(names)) / num_positive
    of_negative = np.bincount(index[~positive], components[~positive], minlength=len(names)) / num_negative
    with_positive, with_negative = len(np.unique(index[positive])), len(np.unique(index[~positive]))
    variance = (
        _corrected(with_positive) * float(of_positive @ of_positive)
        + _corrected(with_negative) * float(of_negative @ of_negative)
        + 2 * _corrected(len(names)) * float(of_positive @ of_negative)
    )
    return areas, variance


def _midranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1, equal values with the mean of theirs."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[index])


def _corrected(count: int) -> float:
    return count / (count - 1) if count > 1 else math.nan


def _sums(values: NDArray[np.float64], groups: Sequence[str]) -> NDArray[np.float64]:
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return np.asarray(np.bincount(index, weights=values), dtype=np.float64)


def _normal(value: float, variance: float, confidence: float, n: int) -> Estimate:
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(variance)
    return Estimate(value, value - half, value + half, n)


def _two_sided(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))
