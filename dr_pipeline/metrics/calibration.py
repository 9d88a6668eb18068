"""Calibration: Brier score, reliability bins, expected calibration error, temperature and Platt scaling."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 10
# On a validation split without errors the likelihood has no minimum above the temperature 0.
TEMPERATURE_LIMITS = (0.1, 10.0)
# Of a logistic curve: of a score without errors the likelihood rises with the slope for ever, and a score that is worse
# than chance would have a negative one.
SLOPE_LIMITS = (0.1, 100.0)
_FAR = 40.0  # logistic(-40) is 4e-18
_BISECTIONS = 60
_PRECISION = 1e-7
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class ReliabilityBin:
    """Photographs whose most probable grade has a probability in (low, high]."""

    low: float
    high: float
    n: int
    confidence: float  # mean probability of the most probable grade; nan where n is 0
    accuracy: float  # fraction in which it is the true grade; nan where n is 0


def brier_scores(probabilities: NDArray[Any], true: NDArray[np.int64]) -> NDArray[np.float64]:
    """Squared distance of probabilities, (N, 5), to true grades, (N,): 0 … 2 for each photograph (Brier 1950)."""
    return np.asarray(((probabilities - np.eye(probabilities.shape[1])[true]) ** 2).sum(axis=1))


def calibration_terms(probabilities: NDArray[Any], true: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per photograph and bin: count, confidence and hit, to be summed; shape (N, 3 · NUM_BINS)."""
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == true
    upper_edges = np.arange(1, NUM_BINS) / NUM_BINS
    membership = np.eye(NUM_BINS)[np.searchsorted(upper_edges, confidence, side="left")]
    return np.concatenate([membership, membership * confidence[:, None], membership * hit[:, None]], axis=1)


def calibration_error(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected calibration error (Naeini et al., AAAI 2015) of each row of summed `calibration_terms`."""
    count, confidence, hits = np.split(sums, 3, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(confidence - hits).sum(axis=-1) / count.sum(axis=-1))


def reliability(probabilities: NDArray[Any], true: NDArray[np.int64]) -> list[ReliabilityBin]:
    """The reliability diagram's bins, equally wide."""
    count, confidence, hits = np.split(calibration_terms(probabilities, true).sum(axis=0), 3)
    return [
        ReliabilityBin(
            low=index / NUM_BINS,
            high=(index + 1) / NUM_BINS,
            n=int(count[index]),
            confidence=confidence[index] / count[index] if count[index] else math.nan,
            accuracy=hits[index] / count[index] if count[index] else math.nan,
        )
        for index in range(NUM_BINS)
    ]


def negative_log_likelihood(logits: NDArray[Any], true: NDArray[np.int64], temperature: float) -> float:
    """Mean of -log p(true grade) of softmax(logits / temperature), in nats."""
    scaled = logits.astype(np.float64) / temperature
    top = scaled.max(axis=1)
    log_sum = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float(np.mean(log_sum - scaled[np.arange(len(true)), true]))


def fit_temperature(logits: NDArray[Any], true: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al., ICML 2017), by golden section.

    The likelihood is convex in 1/temperature, so that along log(temperature) it has one minimum.

    Raises:
        ValueError: There is no photograph.
    """
    if len(true) == 0:
        raise ValueError("no photograph to fit a temperature on")
    return _least(lambda temperature: negative_log_likelihood(logits, true, temperature), *TEMPERATURE_LIMITS)


def fit_logistic(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope, above 0, and intercept of the logistic curve from a score to the probability of being positive.

    Platt scaling (Advances in Large Margin Classifiers 1999, 61-74) with his targets, which lie a little within 0 … 1,
    so that a few photographs promise no certainty. The slope is kept above 0: the curve changes no order.

    Args:
        scores: Shape (N,).
        positive: Shape (N,).

    Raises:
        ValueError: There is no photograph.
    """
    if len(scores) == 0:
        raise ValueError("no photograph to fit a curve on")
    positives, negatives = int(positive.sum()), int((~positive).sum())
    targets = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(slope: float) -> float:
        margins = slope * scores + _intercept(slope * scores, float(targets.mean()))
        return float(np.mean(np.logaddexp(0, margins) - targets * margins))

    slope = _least(loss, *SLOPE_LIMITS)
    return slope, _intercept(slope * scores, float(targets.mean()))


def _intercept(margins: NDArray[np.float64], mean: float) -> float:
    """The number to add to `margins`, so that their logistic function has this mean, by bisection."""
    low, high = -float(margins.max()) - _FAR, -float(margins.min()) + _FAR
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if float(np.mean(np.tanh((margins + middle) / 2))) < 2 * mean - 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _least(function: Callable[[float], float], smallest: float, largest: float) -> float:
    """Where a function with one minimum along the logarithm of its argument has it, by golden section."""
    low, high = math.log(smallest), math.log(largest)
    while high - low > _PRECISION:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if function(math.exp(left)) <= function(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
