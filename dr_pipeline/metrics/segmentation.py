"""Figures of outlined lesions: precision and recall over pixels, Dice, and counts of lesions per photograph.

Pixels are counted in a histogram per photograph, so that memory does not grow with the number of pixels, and a
bootstrap resamples photographs by adding histograms up.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.bootstrap import bootstrap_sums
from dr_pipeline.metrics.intervals import Estimate

# Probabilities are binned by their logit, which is as fine near 0 and 1 as in between; tests compare the area with
# scikit-learn's.
BINS = 2048
_LIMIT = 12.0

Histogram = NDArray[np.int64]  # (2, BINS): pixels without and with the lesion, by probability


def histogram(probabilities: NDArray[np.float32], shown: NDArray[np.bool_]) -> Histogram:
    """Counts the pixels of one photograph and kind.

    Args:
        probabilities: Any shape, 0 … 1.
        shown: The truth, of the same shape.

    Returns:
        (2, BINS): by bin, the pixels that do not show the lesion and those that do.

    Raises:
        ValueError: The shapes differ, or a value is no probability.
    """
    if probabilities.shape != shown.shape:
        raise ValueError(f"probabilities {probabilities.shape}, truth {shown.shape}")
    if not (probabilities.size == 0 or (probabilities.min() >= 0 and probabilities.max() <= 1)):
        raise ValueError("not probabilities: a value is NaN or outside 0 … 1")
    bins = _bins(probabilities.ravel())
    positive = np.bincount(bins[shown.ravel()], minlength=BINS)
    return np.stack([np.bincount(bins, minlength=BINS) - positive, positive])


def _bins(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    scaled = (np.clip(logits, -_LIMIT, _LIMIT) + _LIMIT) * (BINS / (2 * _LIMIT))
    return np.asarray(np.minimum(scaled, BINS - 1), np.intp)


def average_precision(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under the precision-recall curve as scikit-learn has it: Σ (recall step) × precision, without interpolation.

    Args:
        sums: Histograms added up over photographs, flattened, shape (R, 2 · BINS).

    Returns:
        Shape (R,); nan where no pixel shows the lesion.
    """
    pixels = sums.reshape(-1, 2, BINS)[:, :, ::-1]  # the highest probability first
    negatives, positives = pixels[:, 0], pixels[:, 1]
    true, false = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = true / (true + false)
        steps = positives / true[:, -1:]
    return np.asarray(np.where(true[:, -1] > 0, np.nansum(precision * steps, axis=1), np.nan))


def pooled_average_precision(
    histograms: Sequence[Histogram], groups: Sequence[str], *, replicates: int, seed: int, confidence: float
) -> Estimate:
    """Average precision over the pixels of all photographs together, with its interval by group.

    Args:
        histograms: Of N photographs.
        groups: What is resampled as a whole, such as the patient; N names.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Such as 0.95.
    """
    if not histograms:
        return Estimate(math.nan, math.nan, math.nan, 0)
    return bootstrap_sums(
        average_precision,
        np.stack([counts.ravel() for counts in histograms]),
        groups,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )


def confusion_at(counts: Histogram, threshold: float) -> NDArray[np.int64]:
    """Pixels that are true positive, false positive and false negative from this probability up, shape (3,).

    The threshold is that of its bin's lower edge, at most 24 / BINS in logit below.
    """
    first = int(_bins(np.array([threshold], np.float32))[0])
    false, true = counts[:, first:].sum(axis=1)
    return np.array([true, false, counts[1].sum() - true], np.int64)


def dice(confusions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dice's coefficient of rows of true positives, false positives and false negatives, (R, 3) → (R,).

    nan where neither the truth nor the network shows the lesion.
    """
    true, false, missed = confusions.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2 * true / (2 * true + false + missed))


def counts_within(found: NDArray[np.int64], true: NDArray[np.int64], tolerance: int = 1) -> NDArray[np.bool_]:
    """Of each photograph, whether the number of lesions found differs from the truth by at most `tolerance`."""
    return np.asarray(np.abs(found - true) <= tolerance)
