"""Calibration of probabilities: Brier score, reliability bins, expected calibration error, temperature scaling."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 10
# On a validation split without errors the likelihood has no minimum above the temperature 0.
TEMPERATURE_LIMITS = (0.1, 10.0)
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
    low, high = (math.log(limit) for limit in TEMPERATURE_LIMITS)
    while high - low > 1e-7:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if negative_log_likelihood(logits, true, math.exp(left)) <= negative_log_likelihood(
            logits, true, math.exp(right)
        ):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
