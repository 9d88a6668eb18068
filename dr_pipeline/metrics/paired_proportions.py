"""The difference of two graders' proportions of hits on the same photographs, by patient."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.intervals import Estimate


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
