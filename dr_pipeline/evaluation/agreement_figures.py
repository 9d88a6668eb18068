"""Agreement with the readers beside quadratic weighted kappa: figures of the confusion matrix, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.metrics.bootstrap import METHODS, bootstrap_many_sums, one_hot_cells, qwk_estimate
from dr_pipeline.metrics.classification import balanced_accuracy_of_confusions, mean_absolute_error_of_confusions
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.metrics.kappa import kappa_of_confusions
from dr_pipeline.metrics.macro import macro_f1_of_confusions
from dr_pipeline.metrics.sample_size import kappa_spread, needed
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import GRADES, NUM_GRADES

_DIFFERENCES = (0.1, 0.05, 0.02)  # of QWK
_POWER = 0.8
_FIGURES = ("linear_kappa", "unweighted_kappa", "balanced_accuracy", "mean_absolute_error", "macro_f1")


def agreement_figures(
    grade: NDArray[np.int64], true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """Figures of N photographs.

    Args:
        grade: By the model, shape (N,).
        true: By the readers, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        Linear and unweighted kappa, balanced accuracy, mean absolute error and macro F1; `precision` by grade;
        `qwk_intervals`, the interval of QWK by each method; `sample_size`, see `_sample_size`.
    """
    drawn = resampling(params)
    estimates = bootstrap_many_sums(_of_sums, one_hot_cells(true, grade), groups, **drawn)
    result: dict[str, Any] = {name: estimate.to_dict() for name, estimate in zip(_FIGURES, estimates, strict=True)}
    result["precision"] = {str(called): _precision(grade, true, groups, called, params) for called in GRADES}
    result["qwk_intervals"] = {
        method: qwk_estimate(true, grade, groups, **drawn, method=method).to_dict() for method in METHODS
    }
    result["sample_size"] = _sample_size(grade, true, groups, params.confidence)
    return result


def _of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    confusions = sums.reshape(-1, NUM_GRADES, NUM_GRADES)
    return np.stack(
        [
            kappa_of_confusions(confusions, "linear"),
            kappa_of_confusions(confusions, "unweighted"),
            balanced_accuracy_of_confusions(confusions),
            mean_absolute_error_of_confusions(confusions),
            macro_f1_of_confusions(confusions),
        ],
        axis=1,
    )


def _precision(
    grade: NDArray[np.int64], true: NDArray[np.int64], groups: Sequence[str], called: int, params: Evaluation
) -> dict[str, Any]:
    rows = np.flatnonzero(grade == called)
    names = [groups[row] for row in rows.tolist()]
    return clustered_proportion(true[rows] == called, names, params.confidence).to_dict()


def _sample_size(
    grade: NDArray[np.int64], true: NDArray[np.int64], groups: Sequence[str], confidence: float
) -> dict[str, Any] | None:
    """The size of each of two test sets, of other patients, whose QWK differ detectably; None: kappa has no spread.

    Two graders on the same photographs need fewer: docs/explanation/statistics.md has a table.
    """
    spread = kappa_spread(true, grade, groups)
    if not np.isfinite(spread):
        return None
    per_patient = len(true) / len(set(groups))
    sizes = {
        difference: needed(difference, np.sqrt(2) * spread, per_patient, confidence=confidence, power=_POWER)
        for difference in _DIFFERENCES
    }
    return {
        "power": _POWER,
        "photographs_in_each_of_two_sets": [
            {"difference": difference, "patients": size.patients, "photographs": size.photographs}
            for difference, size in sizes.items()
        ],
    }
