"""Receiver operating characteristic and precision-recall: curves, areas, fixed points, of many weightings at once."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-12  # a rate of 0.9 may be computed as 0.8999999999999999


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
    return Cumulated.of(scores, positive, weights).area()


@dataclass(frozen=True)
class Cumulated:
    """Positives and negatives called at each threshold, the highest first, for each of R rows of weights.

    A photograph is called positive from the threshold up; equal scores are called together.

    Attributes:
        true_positives: Weight of the positives called, shape (R, T).
        false_positives: Weight of the negatives called, shape (R, T).
    """

    true_positives: NDArray[np.float64]
    false_positives: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[Any], positive: NDArray[np.bool_], weights: NDArray[np.float64]) -> "Cumulated":
        """Sorts N photographs: scores and positives of shape (N,), N ≥ 1, weights of shape (R, N)."""
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.concatenate([np.diff(scores[order]) < 0, [True]]))
        sorted_weights, sorted_positive = weights[:, order], positive[order]
        true_positives = np.cumsum(sorted_weights * sorted_positive, axis=1)[:, ends]
        false_positives = np.cumsum(sorted_weights * ~sorted_positive, axis=1)[:, ends]
        return cls(true_positives, false_positives)

    def area(self) -> NDArray[np.float64]:
        """Area under the ROC curve, ties counted half, shape (R,); nan if only one class."""
        more = np.diff(self.false_positives, axis=1, prepend=0.0)
        below = self.true_positives - np.diff(self.true_positives, axis=1, prepend=0.0) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            area = (more * below).sum(axis=1) / (self.true_positives[:, -1] * self.false_positives[:, -1])
        return self._defined(area)

    def average_precision(self) -> NDArray[np.float64]:
        """Σ (recall gained at a threshold) · (precision there), shape (R,), as scikit-learn's; nan: no positives."""
        gained = np.diff(self.true_positives, axis=1, prepend=0.0)
        called = self.true_positives + self.false_positives
        precision = np.divide(self.true_positives, called, out=np.zeros_like(called), where=called > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((gained * precision).sum(axis=1) / self.true_positives[:, -1])

    def sensitivity_at(self, specificity: float) -> NDArray[np.float64]:
        """The highest sensitivity of the thresholds with at least this specificity, (R,); nan if only one class."""
        sensitivity, found = self._rates()
        # The threshold above every score calls nobody: sensitivity 0, specificity 1.
        return self._defined(np.where(found >= specificity - _ROUNDING, sensitivity, 0.0).max(axis=1))

    def specificity_at(self, sensitivity: float) -> NDArray[np.float64]:
        """The highest specificity of the thresholds with at least this sensitivity, (R,); nan if only one class."""
        found, specificity = self._rates()
        return self._defined(np.where(found >= sensitivity - _ROUNDING, specificity, 0.0).max(axis=1))

    def _rates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (
                self.true_positives / self.true_positives[:, -1:],
                1.0 - self.false_positives / self.false_positives[:, -1:],
            )

    def _defined(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        both = (self.true_positives[:, -1] > 0) & (self.false_positives[:, -1] > 0)
        return np.asarray(np.where(both, rates, np.nan))


def average_precision(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve by steps; nan without positives."""
    if len(scores) == 0:
        return math.nan
    return float(Cumulated.of(scores, positive, np.ones((1, len(scores)))).average_precision()[0])


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
