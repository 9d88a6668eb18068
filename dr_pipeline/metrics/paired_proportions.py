"""Two graders' hits on the same photographs: the difference of their proportions, and McNemar's test, by patient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.intervals import Estimate


@dataclass(frozen=True)
class McNemar:
    """McNemar's test.

    Attributes:
        lost: Photographs that the old grader had right and the new one has not.
        gained: The reverse.
        p_photographs: Two-sided exact p-value with photographs as independent units (McNemar 1947, binomial).
        p_patients: With patients as units; photographs of one patient are alike, so that this is the one to report.
    """

    lost: int
    gained: int
    p_photographs: float
    p_patients: float


def paired_difference(
    old: NDArray[np.bool_], new: NDArray[np.bool_], groups: Sequence[str], confidence: float
) -> Estimate:
    """The proportion of hits by `new` minus that by `old`.

    The interval of Bonett and Price (Stat Methods Med Res 2012;21:275), which adds one discordant photograph of each
    kind, at the effective sample size of Rao and Scott (Biometrics 1992;48:577). Unlike a bootstrap it has a width
    where no photograph is discordant: few photographs do not show that two graders are equal.

    Args:
        old: Shape (N,).
        new: Shape (N,), the same photographs.
        groups: The patient, or whatever stays together, of each; N names.
        confidence: Such as 0.95.
    """
    total = len(old)
    if total == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    differences = new.astype(np.float64) - old
    value = float(differences.mean())
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    independent = float((differences**2).mean() - value**2) / max(1, total - 1)
    if independent <= 0 or len(names) < 2:
        effective = float(len(names))
    else:
        residuals = np.bincount(number, weights=differences - value)
        clustered = len(names) / (len(names) - 1) * float(residuals @ residuals) / total**2
        effective = total / max(1.0, clustered / independent)
    gained, lost = (float((differences == sign).mean()) * effective for sign in (1, -1))
    gained, lost = (gained + 1) / (effective + 2), (lost + 1) / (effective + 2)
    centre = gained - lost
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt((gained + lost - centre**2) / (effective + 2))
    return Estimate(value, max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half)), total)


def mcnemar(old: NDArray[np.bool_], new: NDArray[np.bool_], groups: Sequence[str]) -> McNemar:
    """McNemar's exact test, by photograph and by patient.

    By patient, each patient's sum of gains and losses keeps its size and gets a sign by the toss of a coin; the
    p-value is the fraction of all tosses whose total is as far from 0. With one photograph a patient both are equal.

    Args:
        old: Shape (N,).
        new: Shape (N,), the same photographs.
        groups: The patient, or whatever stays together, of each; N names.
    """
    steps = new.astype(np.int64) - old
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(number, weights=steps).astype(np.int64) if len(steps) else steps
    return McNemar(int((steps < 0).sum()), int((steps > 0).sum()), _sign_test(steps), _sign_test(sums))


def _sign_test(steps: NDArray[np.int64]) -> float:
    """The probability that random signs of the steps give a sum as far from 0, exactly."""
    sizes = np.abs(steps[steps != 0])
    reach = int(sizes.sum())
    chances = np.zeros(2 * reach + 1)  # of the sums -reach … reach
    chances[reach] = 1.0
    for size in sizes.tolist():
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(steps.sum()))
    return min(1.0, float(chances[far].sum()))
