"""The statistics of drift: the population stability index, two-sample tests, and what a batch of a size can detect.

Photographs of one patient resemble each other, so every test counts patients: its sample size is the number of
patients, not of photographs. Only the functions that need scipy import it: `score` uses the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.reference import Distribution, Rate

_DECILES = np.arange(1, 10) / 10
# Added to each bin's count of patients, so that an empty bin does not make the index infinite.
_SMOOTHING = 0.5
# From so many units on, the exact test of counts gives way to chi-square, which then agrees with it.
_MAX_EXACT = 10_000


@dataclass(frozen=True)
class Stability:
    """The population stability index, Σ (o − e) · ln(o / e) over the bins between the reference's deciles.

    Without drift it is about (1/n + 1/m) · χ² with `degrees` (Yurdakul, Statistical properties of population stability
    index, Western Michigan University 2018), so small batches have a large index by chance alone.

    Attributes:
        value: The index.
        chance: What it is on average without drift.
        degrees: Bins less one.
        per_unit: 1/n + 1/m, in patients.
    """

    value: float
    chance: float
    degrees: int
    per_unit: float

    @property
    def excess(self) -> float:
        """The index beyond chance, at least 0: what the limits of watch and drift apply to."""
        return max(0.0, self.value - self.chance)

    @property
    def is_beyond_noise(self) -> bool:
        """Whether it exceeds chance by four standard deviations of χ²; a rough test that needs no library."""
        return self.value > self.per_unit * (self.degrees + 4 * math.sqrt(2 * self.degrees))


def stability(reference: Distribution, values: NDArray[np.float64], patients: float) -> Stability:
    """The population stability index of (N,) values of so many patients."""
    edges = _bin_edges(reference)
    bins = len(edges) + 1
    expected = np.diff(reference.cdf(edges), prepend=0.0, append=1.0)
    observed = np.bincount(np.searchsorted(edges, values, side="left"), minlength=bins) / len(values)
    smooth_expected, smooth_observed = (
        (fractions * units + _SMOOTHING) / (units + _SMOOTHING * bins)
        for fractions, units in ((expected, reference.patients), (observed, patients))
    )
    index = float(np.sum((smooth_observed - smooth_expected) * np.log(smooth_observed / smooth_expected)))
    per_unit = float(1 / patients + 1 / reference.patients)
    return Stability(index, per_unit * (bins - 1), bins - 1, per_unit)


def _bin_edges(reference: Distribution) -> NDArray[np.float64]:
    """Upper edges of the bins but the last; a value that many photographs share has a bin of its own."""
    deciles = np.array([reference.quantile(level) for level in _DECILES])
    edges, counts = np.unique(deciles, return_counts=True)
    shared = np.nextafter(edges[counts > 1], -np.inf)
    return np.union1d(edges, shared)


def ks_distance(reference: Distribution, values: NDArray[np.float64], *, tolerance: float = 0.0) -> float:
    """The largest difference of the two cumulative distributions (Kolmogorov and Smirnov), 0 to 1.

    Args:
        reference: One.
        values: The other, (N,).
        tolerance: A shift up to this, in either direction, does not count: a camera's retinas differ by a pixel.
    """
    batch, points = np.sort(values), np.asarray(reference.points)

    def batch_cdf(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.searchsorted(batch, at, side="right") / len(batch))

    smaller = np.concatenate([points, batch + tolerance])  # where either function steps
    larger = np.concatenate([points + tolerance, batch])
    return max(
        0.0,
        float(np.max(batch_cdf(smaller - tolerance) - reference.cdf(smaller))),
        float(np.max(reference.cdf(larger - tolerance) - batch_cdf(larger))),
    )


def ks_p_value(distance: float, reference_patients: float, patients: float) -> float:
    """The two-sample test's asymptotic p-value, which is conservative for small samples and for ties."""
    from scipy.special import kolmogorov

    return float(kolmogorov(distance * math.sqrt(_effective(reference_patients, patients))))


def rate_p_value(reference: Rate, fraction: float, patients: float) -> float:
    """Two-sided p-value for equal rates, of counts of patients: Fisher's exact test, chi-square for large counts."""
    from scipy.stats import chi2_contingency, fisher_exact

    rows = []
    for units, share in ((reference.patients, reference.fraction), (patients, fraction)):
        total = max(1, round(units))
        events = round(total * share)
        rows.append([events, total - events])
    if 0 in (rows[0][0] + rows[1][0], rows[0][1] + rows[1][1]):  # none are so, or all
        return 1.0
    if sum(map(sum, rows)) <= _MAX_EXACT:
        return float(fisher_exact(rows).pvalue)
    return float(chi2_contingency(rows, correction=False).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the same order (Holm, Scand J Stat 1979;6:65)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def detectable_shift(reference_patients: float, patients: float, *, alpha: float, tests: int) -> float:
    """The shift of a normal measure, in standard deviations, that half of such batches detect; inf: none.

    The distance that the first step of Holm's method needs is that of two normal distributions this far apart.
    """
    from scipy.special import kolmogi  # the inverse of kolmogorov

    needed = float(kolmogi(alpha / tests)) / math.sqrt(_effective(reference_patients, patients))
    return 2 * NormalDist().inv_cdf((1 + needed) / 2) if needed < 1 else math.inf


def _effective(first: float, second: float) -> float:
    return first * second / (first + second)
