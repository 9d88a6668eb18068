"""Figures averaged over the grades, each grade counting alike: macro F1, and the area under the curve of many classes.

Comparisons between data sets use them (GDRBench: Che et al., MICCAI 2023). They do not know that grade 4 is farther
from 0 than 1 is; quadratic weighted kappa does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.curves import weighted_roc_auc
from dr_pipeline.schema import GRADES


def macro_f1_of_confusions(confusions: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1 over the grades of each confusion matrix, as `sklearn.metrics.f1_score(average="macro")`.

    Args:
        confusions: Counts or weights, shape (..., grades, grades), true grades in rows.

    Returns:
        Shape (...); a grade that is neither true nor predicted is left out; nan where there is none.
    """
    counts = np.asarray(confusions, dtype=np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    totals = counts.sum(axis=-1) + counts.sum(axis=-2)
    present = totals > 0
    scores = np.where(present, 2 * hits / np.where(present, totals, 1), 0).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(scores / present.sum(axis=-1))


def macro_auc(
    probabilities: NDArray[Any], true: NDArray[np.int64], weights: NDArray[np.float64], *, one_vs_one: bool = False
) -> NDArray[np.float64]:
    """Mean area under the curve over the grades, for each row of weights.

    As `sklearn.metrics.roc_auc_score(average="macro")` with `multi_class` "ovr", or "ovo" (Hand and Till, Machine
    Learning 2001;45:171: each pair of grades by itself), over the grades that occur.

    Args:
        probabilities: Shape (N, 5).
        true: Grades, shape (N,).
        weights: How often each counts, shape (R, N).
        one_vs_one: Each pair of grades by itself instead of each grade against the rest.

    Returns:
        Shape (R,); nan where a grade that occurs in `true` has no weight, or only one occurs.
    """
    present = [grade for grade in GRADES if (true == grade).any()]
    areas = []
    for grade in present:
        rivals = [[other] for other in present if other != grade] if one_vs_one else [present]
        for rival in rivals:
            rows = np.flatnonzero(np.isin(true, [grade, *rival]))
            areas.append(weighted_roc_auc(probabilities[rows, grade], true[rows] == grade, weights[:, rows]))
    return np.mean(areas, axis=0) if areas else np.full(len(weights), np.nan)
