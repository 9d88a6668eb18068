"""The receiver operating characteristic: its curve, and the area under it for many weightings at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def roc_auc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half; nan where only one class occurs."""
    return float(weighted_roc_auc(scores, positive, np.ones((1, len(scores))))[0])


def weighted_roc_auc(
    scores: NDArray[Any], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area under the curve for each row of weights.

    Args:
        scores: Shape (N,), higher means more likely positive.
        positive: Shape (N,).
        weights: How often each counts, shape (R, N).

    Returns:
        Shape (R,); nan where only one class has weight.
    """
    if len(scores) == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(scores[order]) > 0]))  # of each run of equal scores
    sorted_weights, sorted_positive = weights[:, order], positive[order]
    positives = np.add.reduceat(sorted_weights * sorted_positive, starts, axis=1)
    negatives = np.add.reduceat(sorted_weights * ~sorted_positive, starts, axis=1)
    negatives_below = np.cumsum(negatives, axis=1) - negatives / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area = (positives * negatives_below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
    return np.asarray(np.where(np.isfinite(area), area, np.nan))


def roc_curve(scores: NDArray[Any], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Points from (0, 0) to (1, 1): false-positive rate, true-positive rate, threshold; shape (P, 3).

    A photograph is called positive from the threshold up. The first threshold is infinite.

    Raises:
        ValueError: Only one class occurs.
    """
    if positive.all() or not positive.any():
        raise ValueError("a ROC curve needs positives and negatives")
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.concatenate([np.diff(scores[order]) < 0, [True]]))
    true_positive = np.cumsum(positive[order])[ends] / positive.sum()
    false_positive = np.cumsum(~positive[order])[ends] / (~positive).sum()
    points = np.stack([false_positive, true_positive, scores[order][ends]], axis=1)
    return np.concatenate([[[0.0, 0.0, np.inf]], points])
