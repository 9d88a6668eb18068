"""Kappa, of grades or of many confusion matrices at once: quadratic, linear or unweighted, and named as such."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_pipeline.schema import NUM_GRADES

Weighting = Literal["quadratic", "linear", "unweighted"]
_POWER: dict[Weighting, int] = {"quadratic": 2, "linear": 1, "unweighted": 0}


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, num_grades: int = NUM_GRADES) -> NDArray[np.int64]:
    """Counts of (true grade, predicted grade), shape (num_grades, num_grades), true grades in rows.

    Raises:
        ValueError: The two differ in length, or a grade lies outside 0 … num_grades - 1.
    """
    rows, columns = np.asarray(true, dtype=np.int64).ravel(), np.asarray(predicted, dtype=np.int64).ravel()
    if rows.shape != columns.shape:
        raise ValueError(f"{rows.size} true grades but {columns.size} predicted ones")
    both = np.concatenate([rows, columns])
    if both.size and (both.min() < 0 or both.max() >= num_grades):
        raise ValueError(f"a grade lies outside 0 … {num_grades - 1}")
    cells = np.bincount(rows * num_grades + columns, minlength=num_grades**2)
    return cells.reshape(num_grades, num_grades)


def quadratic_weighted_kappa(true: ArrayLike, predicted: ArrayLike, num_grades: int = NUM_GRADES) -> float:
    """Cohen's kappa with quadratic weights (Cohen, Psychol Bull 1968;70:213), as the field compares graders.

    Equals `sklearn.metrics.cohen_kappa_score(weights="quadratic", labels=range(num_grades))`.

    Returns:
        At most 1; 0 at chance agreement; nan where all true and all predicted grades are one and
        the same grade, or where there are none: chance and observed disagreement are then both 0.
    """
    return float(kappa_of_confusions(confusion_matrix(true, predicted, num_grades)))


def kappa_standard_error(true: ArrayLike, predicted: ArrayLike, groups: Sequence[str]) -> float:
    """Standard error of `quadratic_weighted_kappa` by the jackknife over groups (Efron and Stein 1981).

    Args:
        true: Grades, shape (N,).
        predicted: Grades, shape (N,).
        groups: What stays together, N names.

    Returns:
        0 where there is one group, or where kappa is undefined without one of them.
    """
    names, numbers = np.unique(np.asarray(groups), return_inverse=True)
    cells = np.asarray(true, dtype=np.int64) * NUM_GRADES + np.asarray(predicted, dtype=np.int64)
    of_group = np.zeros((len(names), NUM_GRADES**2))
    np.add.at(of_group, (numbers, cells), 1.0)
    without = kappa_of_confusions((of_group.sum(axis=0) - of_group).reshape(-1, NUM_GRADES, NUM_GRADES))
    if len(names) < 2 or not np.isfinite(without).all():
        return 0.0
    return float(np.sqrt((len(names) - 1) / len(names) * ((without - without.mean()) ** 2).sum()))


def kappa_of_confusions(confusions: NDArray[Any], weighting: Weighting = "quadratic") -> NDArray[np.float64]:
    """Cohen's kappa of each confusion matrix.

    Args:
        confusions: Counts or weights, shape (..., grades, grades), true grades in rows.
        weighting: How a disagreement counts: by its square, by its size, or (Cohen 1960) every one alike.

    Returns:
        Shape (...); nan where undefined (see `quadratic_weighted_kappa`).
    """
    counts = np.asarray(confusions, dtype=np.float64)
    grades = np.arange(counts.shape[-1], dtype=np.float64)
    distance = np.abs(grades[:, None] - grades[None, :])
    weights = distance ** _POWER[weighting] * (distance > 0)
    observed = (counts * weights).sum(axis=(-2, -1)) * counts.sum(axis=(-2, -1))
    expected = ((counts.sum(axis=-1) @ weights) * counts.sum(axis=-2)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected > 0, 1.0 - observed / expected, np.nan))
