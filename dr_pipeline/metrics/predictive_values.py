"""Predictive values where the disease is as frequent as stated, not as in the photographs at hand."""

import math

from dr_pipeline.metrics.intervals import Estimate


def predictive_values(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> tuple[Estimate, Estimate]:
    """Positive and negative predictive value by Bayes' rule (Altman and Bland, BMJ 1994;309:102).

    Each depends on a ratio of two proportions, (1 - specificity) / sensitivity or (1 - sensitivity) / specificity. The
    ratio's interval comes from those of the proportions (MOVER: Donner and Zou, Stat Methods Med Res 2012;21:347), and
    needs no variance, so that a proportion of 0 or 1 has an interval, too. Sensitivity and specificity count as
    independent: they are of different photographs.

    Args:
        sensitivity: With its interval.
        specificity: With its interval.
        prevalence: Above 0, below 1.

    Raises:
        ValueError: The prevalence is out of range.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"a prevalence lies between 0 and 1, not {prevalence}")
    odds = prevalence / (1 - prevalence)
    return (
        _predictive_value(_complement(specificity), sensitivity, 1 / odds),
        _predictive_value(_complement(sensitivity), specificity, odds),
    )


def _complement(rate: Estimate) -> Estimate:
    return Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low, rate.n)


def _predictive_value(wrong: Estimate, right: Estimate, factor: float) -> Estimate:
    """1 / (1 + factor · wrong / right)."""
    n = wrong.n + right.n
    if not (math.isfinite(wrong.value) and right.value > 0):
        return Estimate(math.nan, math.nan, math.nan, n)
    value = 1 / (1 + factor * wrong.value / right.value)
    lowest, highest = _ratio_interval(wrong, right)
    return Estimate(value, 1 / (1 + factor * highest), 1 / (1 + factor * lowest), n)


def _ratio_interval(top: Estimate, bottom: Estimate) -> tuple[float, float]:
    product = top.value * bottom.value
    low_part = bottom.low * (2 * bottom.value - bottom.low)
    high_part = bottom.high * (2 * bottom.value - bottom.high)
    below = product**2 - top.low * (2 * top.value - top.low) * high_part
    above = product**2 - top.high * (2 * top.value - top.high) * low_part
    lowest = (product - math.sqrt(max(0.0, below))) / high_part if high_part > 0 else 0.0
    highest = (product + math.sqrt(max(0.0, above))) / low_part if low_part > 0 else math.inf
    return max(0.0, lowest), highest
