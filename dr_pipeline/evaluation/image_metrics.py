"""The figures of a graded set of photographs, each with its interval and n."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.paired_figures import ece_figure
from dr_pipeline.evaluation.rejection import is_rejected, rejection_by_grade
from dr_pipeline.metrics.bootstrap import bootstrap_sums, bootstrap_weights, qwk_estimate
from dr_pipeline.metrics.calibration import brier_scores
from dr_pipeline.metrics.curves import weighted_roc_auc
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.metrics.kappa import confusion_matrix
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import GRADES, REFERABLE_FROM, VISION_THREATENING_FROM

_HEADLINES = ("qwk", "accuracy", "referable_sensitivity", "referable_specificity", "referable_auc", "brier", "ece")


class Resampling(TypedDict):
    """Keyword arguments of the bootstrap."""

    replicates: int
    seed: int
    confidence: float


INTERVALS = (
    "shares (accuracy, sensitivity, specificity, recall): Wilson at the effective sample size of patients; "
    "the others: patient-clustered bootstrap, expanded percentiles"
)


def figures(decided: Decided, true: NDArray[np.int64], groups: Sequence[str], params: Evaluation) -> dict[str, Any]:
    """The figures of N photographs.

    Args:
        decided: Their decisions.
        true: Their grades, shape (N,).
        groups: The group of each (patients joined by duplicates); N names.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        Figures as {"value", "low", "high", "n"}, null where undefined; `recall` has one per grade; `confusion` holds
        counts with true grades in rows; `n` and `groups` count.
    """
    drawn = resampling(params)
    most_probable = decided.probabilities.argmax(axis=1)
    return {
        "qwk": qwk_estimate(true, decided.grade, groups, **drawn).to_dict(),
        "qwk_most_probable": qwk_estimate(true, most_probable, groups, **drawn).to_dict(),
        "accuracy": clustered_proportion(decided.grade == true, groups, params.confidence).to_dict(),
        **_detection("referable", decided.referable, true >= REFERABLE_FROM, groups, params.confidence),
        "referable_auc": _auc(decided.referable_probability, true >= REFERABLE_FROM, groups, drawn),
        **_detection(
            "vision_threatening",
            decided.vision_threatening,
            true >= VISION_THREATENING_FROM,
            groups,
            params.confidence,
        ),
        "brier": _brier(decided.probabilities, true, groups, drawn),
        "ece": calibration_error_figure(decided.probabilities, true, groups, drawn),
        "recall": {
            str(grade): _share(decided.grade == grade, true == grade, groups, params.confidence) for grade in GRADES
        },
        "needs_human": clustered_proportion(decided.needs_human, groups, params.confidence).to_dict(),
        "confusion": confusion_matrix(true, decided.grade).tolist(),
        "n": len(true),
        "groups": len(set(groups)),
        "intervals": INTERVALS,
    }


def all_and_gradable(
    decided: Decided, true: NDArray[np.int64], groups: Sequence[str], statuses: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """`figures` of all photographs, and of the gradable ones under `gradable`; the rejection rate by grade.

    Both are reported, because ungradable photographs are more often of diseased eyes: without them any grader looks
    better.
    """
    gradable = np.flatnonzero(~is_rejected(statuses))
    result = figures(decided, true, groups, params)
    result["gradable"] = figures(
        select(decided, gradable), true[gradable], [groups[row] for row in gradable.tolist()], params
    )
    result["confidence"] = params.confidence
    result["rejection_by_grade"] = rejection_by_grade(true, statuses, groups, params.confidence)
    return result


def resampling(params: Evaluation) -> Resampling:
    """The keyword arguments of the bootstrap."""
    return {
        "replicates": params.bootstrap_replicates,
        "seed": params.bootstrap_seed,
        "confidence": params.confidence,
    }


def calibration_error_figure(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], groups: Sequence[str], drawn: Resampling
) -> dict[str, Any]:
    """The expected calibration error of probabilities, (N, 5); resampling biases it upwards, which is taken off."""
    return ece_figure(probabilities, true).estimate(groups, drawn).to_dict()


def headline_figures(prefix: str, report: dict[str, Any]) -> dict[str, float]:
    """The main figures that are defined, flat, such as validation.qwk."""
    values = {f"{prefix}.{name}": report[name]["value"] for name in _HEADLINES}
    return {name: value for name, value in values.items() if value is not None}


def select(decided: Decided, rows: NDArray[np.int64]) -> Decided:
    """The decisions of some photographs, by their indices, shape (M,)."""
    return Decided(**{name: values[rows] for name, values in vars(decided).items()})


def _share(
    hits: NDArray[np.bool_], among: NDArray[np.bool_], groups: Sequence[str], confidence: float
) -> dict[str, Any]:
    rows = np.flatnonzero(among)
    return clustered_proportion(hits[rows], [groups[row] for row in rows.tolist()], confidence).to_dict()


def _detection(
    name: str, detected: NDArray[np.bool_], positive: NDArray[np.bool_], groups: Sequence[str], confidence: float
) -> dict[str, Any]:
    return {
        f"{name}_sensitivity": _share(detected, positive, groups, confidence),
        f"{name}_specificity": _share(~detected, ~positive, groups, confidence),
    }


def _auc(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: Sequence[str], drawn: Resampling
) -> dict[str, Any]:
    return bootstrap_weights(lambda weights: weighted_roc_auc(scores, positive, weights), groups, **drawn).to_dict()


def _brier(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], groups: Sequence[str], drawn: Resampling
) -> dict[str, Any]:
    values = np.stack([brier_scores(probabilities, true), np.ones(len(true))], axis=1)

    def mean(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            return np.asarray(sums[:, 0] / sums[:, 1])

    return bootstrap_sums(mean, values, groups, **drawn).to_dict()
