"""Figures of a confusion matrix beside kappa, of many matrices at once, so that resampling costs little."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def recalls_of_confusions(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """The fraction of each grade's photographs that get this grade, (..., grades); nan where a grade has none.

    Args:
        confusions: Counts or weights, shape (..., grades, grades), true grades in rows.
    """
    return _fractions(confusions, axis=-1)


def precisions_of_confusions(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """The fraction of the photographs called a grade that have it, (..., grades); nan for a grade never called."""
    return _fractions(confusions, axis=-2)


def balanced_accuracy_of_confusions(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """Mean recall over the grades that occur, shape (...), as `sklearn.metrics.balanced_accuracy_score`.

    Returns:
        nan where there is no photograph.
    """
    recalls = recalls_of_confusions(confusions)
    present = np.isfinite(recalls)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(present, recalls, 0).sum(axis=-1) / present.sum(axis=-1))


def mean_absolute_error_of_confusions(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """Mean distance between true and predicted grade, shape (...), in grades; nan where there is no photograph."""
    counts = np.asarray(confusions, dtype=np.float64)
    grades = np.arange(counts.shape[-1])
    distance = np.abs(grades[:, None] - grades[None, :])
    with np.errstate(invalid="ignore"):
        return np.asarray((counts * distance).sum(axis=(-2, -1)) / counts.sum(axis=(-2, -1)))


def _fractions(confusions: NDArray[Any], *, axis: int) -> NDArray[np.float64]:
    counts = np.asarray(confusions, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.diagonal(counts, axis1=-2, axis2=-1) / counts.sum(axis=axis))
