"""Tails of two distributions, so that the split needs no statistics library."""

import math


def chi_square_p(statistic: float, degrees: int) -> float:
    """Upper tail of the chi-square distribution (Abramowitz and Stegun 1964, 26.4.4 and 26.4.5).

    Args:
        statistic: Not negative.
        degrees: At least 1.
    """
    half = statistic / 2
    if half == 0:
        return 1.0
    odd = degrees % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    for number in range(degrees // 2):
        power = number + odd / 2
        tail += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
    return min(1.0, tail)


def binomial_p(hits: int, trials: int, share: float) -> float:
    """Chance of at least `hits` among independent trials.

    Args:
        hits: From 0 to `trials`.
        trials: How many.
        share: Chance of each, above 0 and below 1.
    """
    terms = (
        math.exp(_log_choose(trials, count) + count * math.log(share) + (trials - count) * math.log1p(-share))
        for count in range(hits, trials + 1)
    )
    return min(1.0, math.fsum(terms))


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
