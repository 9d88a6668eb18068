"""How well the severity separates the grades at each of the four borders, whatever the operating point."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.metrics.bootstrap import bootstrap_many_weights
from dr_pipeline.metrics.curves import Cumulated
from dr_pipeline.metrics.intervals import Estimate
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import GRADES, REFERABLE_FROM

_RATES = (0.8, 0.9, 0.95)
NOTE = "thresholds at a fixed rate are chosen on these photographs: what the severity allows, no operating point"


def detection_figures(
    decided: Decided, true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """The figures of each border, "1" … "4": disease is that grade or more.

    The score is that of the deployed decision: the expected grade, and for referable disease its probability.

    Args:
        decided: The decisions on N photographs.
        true: Their grades, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        For each border `positives`, `auc`, `average_precision`, and under `sensitivity_at_specificity` and
        `specificity_at_sensitivity` one figure for each of 0.8, 0.9 and 0.95.
    """
    borders = {}
    for border in GRADES[1:]:
        score = decided.referable_probability if border == REFERABLE_FROM else decided.expected_grade
        borders[str(border)] = _border(score, true >= border, groups, params)
    return {"at_least": borders, "note": NOTE}


def _border(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        curve = Cumulated.of(scores, positive, weights)
        columns = [curve.area(), curve.average_precision()]
        columns += [curve.sensitivity_at(rate) for rate in _RATES]
        columns += [curve.specificity_at(rate) for rate in _RATES]
        return np.stack(columns, axis=1)

    if positive.all() or not positive.any():
        nothing = Estimate(np.nan, np.nan, np.nan, len(positive))
        estimates = [nothing] * (2 + 2 * len(_RATES))
    else:
        estimates = bootstrap_many_weights(statistic, groups, **resampling(params))
    auc, precision, *points = (estimate.to_dict() for estimate in estimates)
    rates = [f"{rate:g}" for rate in _RATES]
    return {
        "positives": int(positive.sum()),
        "auc": auc,
        "average_precision": precision,
        "sensitivity_at_specificity": dict(zip(rates, points[: len(rates)], strict=True)),
        "specificity_at_sensitivity": dict(zip(rates, points[len(rates) :], strict=True)),
    }
