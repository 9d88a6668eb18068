"""A figure with its confidence interval, and the closed-form intervals of proportions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """One figure, its confidence interval, and the number of photographs it rests on. nan: undefined."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: {"value", "low", "high", "n"}; what is undefined is null, with a "note"."""
        figure: dict[str, Any] = {"n": self.n}
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            figure[name] = number if math.isfinite(number) else None
        if figure["value"] is None:
            figure["note"] = "undefined: no photograph, or all of one grade"
        elif figure["low"] is None or figure["high"] is None:
            figure["note"] = "no interval: too few groups, or undefined in too many resamplings"
        return figure


def wilson(successes: float, trials: float, confidence: float) -> tuple[float, float]:
    """Score interval of a proportion of independent trials (Wilson, JASA 1927;22:209); nan without trials.

    Both numbers may be fractional, so that an effective sample size can be given.
    """
    if trials <= 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def clustered_proportion(hits: NDArray[np.bool_], groups: Sequence[str], confidence: float) -> Estimate:
    """A proportion with Wilson's interval at the effective sample size (Rao & Scott, Biometrics 1992;48:577).

    The design effect is the variance of the proportion with patients as units over that with photographs as units, at
    least 1. Where all or none are hits it cannot be estimated, and the number of groups is the sample size.

    Args:
        hits: Shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        confidence: Such as 0.95.
    """
    total = len(hits)
    if total == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    share = float(np.mean(hits))
    if share in (0.0, 1.0) or len(names) < 2:
        effective = float(len(names))
    else:
        residuals = np.bincount(inverse, weights=hits - share)
        clustered = len(names) / (len(names) - 1) * float(residuals @ residuals) / total**2
        effective = total / max(1.0, clustered / (share * (1 - share) / total))
    low, high = wilson(share * effective, effective, confidence)
    return Estimate(share, low, high, total)


def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t by the expansion of Hill (CACM 1970;13:619); within 0.01 of it from 4 degrees up."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def is_estimate(value: Any) -> bool:
    """Whether an entry of a report is a defined estimate: {"value", "low", "high", "n"}."""
    return isinstance(value, Mapping) and value.get("value") is not None and {"low", "high", "n"} <= set(value)


def format_estimate(estimate: Mapping[str, Any]) -> str:
    """An estimate as text, such as `0.843 (0.781 to 0.891, n = 126)`."""
    if estimate["value"] is None:
        return f"undefined (n = {estimate['n']})"
    if estimate["low"] is None or estimate["high"] is None:
        return f"{estimate['value']:.3f} (no interval, n = {estimate['n']})"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f}, n = {estimate['n']})"
