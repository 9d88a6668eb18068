"""Random cases, a thousand of the main figures: what scikit-learn has equals scikit-learn's within 1e-12."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn import metrics as theirs

from dr_pipeline.bundle.decision import softmax
from dr_pipeline.metrics.calibration import brier_scores
from dr_pipeline.metrics.classification import (
    balanced_accuracy_of_confusions,
    mean_absolute_error_of_confusions,
    precisions_of_confusions,
    recalls_of_confusions,
)
from dr_pipeline.metrics.curves import Cumulated, average_precision, roc_auc
from dr_pipeline.metrics.kappa import confusion_matrix, kappa_of_confusions
from dr_pipeline.metrics.macro import macro_auc, macro_f1_of_confusions

pytestmark = pytest.mark.slow

CASES, FEWER = 1000, 100


def graders(seed: int) -> tuple[Any, Any]:
    """True and predicted grades of 5 to 60 photographs; some cases lack a grade."""
    rng = np.random.default_rng(seed)
    n, grades = int(rng.integers(5, 60)), int(rng.integers(2, 6))
    true = rng.integers(0, grades, n)
    return true, np.clip(true + rng.integers(-2, 3, n), 0, 4)


def scores(seed: int) -> tuple[Any, Any]:
    """Scores with ties, and positives of both kinds."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    positive = rng.random(n) < rng.uniform(0.1, 0.9)
    positive[:2] = (True, False)
    return np.round(rng.normal(size=n) + positive, int(rng.integers(0, 3))), positive


def largest_difference(ours: Callable[[int], Any], sklearn_s: Callable[[int], Any], cases: int = CASES) -> float:
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        return max(float(np.max(np.abs(np.asarray(ours(seed)) - sklearn_s(seed)))) for seed in range(cases))


@pytest.mark.filterwarnings("ignore")  # of scikit-learn, about grades that do not occur
@pytest.mark.parametrize(
    ("weighting", "weights", "cases"),
    [("quadratic", "quadratic", CASES), ("linear", "linear", FEWER), ("unweighted", None, FEWER)],
)
def test_kappas(weighting: Any, weights: str | None, cases: int) -> None:
    def ours(seed: int) -> float:
        return float(np.nan_to_num(kappa_of_confusions(confusion_matrix(*graders(seed)), weighting)))

    def sklearn_s(seed: int) -> float:
        return float(np.nan_to_num(theirs.cohen_kappa_score(*graders(seed), weights=weights, labels=range(5))))

    assert largest_difference(ours, sklearn_s, cases) < 1e-12


@pytest.mark.filterwarnings("ignore")
def test_figures_of_confusion_matrices() -> None:
    def ours(seed: int) -> list[float]:
        table = confusion_matrix(*graders(seed))
        return [
            float(balanced_accuracy_of_confusions(table)),
            float(mean_absolute_error_of_confusions(table)),
            float(macro_f1_of_confusions(table)),
            *np.nan_to_num(precisions_of_confusions(table)),
            *np.nan_to_num(recalls_of_confusions(table)),
        ]

    def sklearn_s(seed: int) -> list[float]:
        true, predicted = graders(seed)
        precision, recall, _, _ = theirs.precision_recall_fscore_support(
            true, predicted, labels=range(5), zero_division=0
        )
        return [
            theirs.balanced_accuracy_score(true, predicted),
            theirs.mean_absolute_error(true, predicted),
            theirs.f1_score(true, predicted, average="macro"),
            *precision,
            *recall,
        ]

    assert largest_difference(ours, sklearn_s, FEWER) < 1e-12


def test_areas() -> None:
    def sklearn_s(seed: int) -> list[float]:
        values, positive = scores(seed)
        return [theirs.roc_auc_score(positive, values), theirs.average_precision_score(positive, values)]

    assert (
        largest_difference(lambda seed: [roc_auc(*scores(seed)), average_precision(*scores(seed))], sklearn_s) < 1e-12
    )


def test_fixed_points_of_the_curve() -> None:
    def ours(seed: int) -> list[float]:
        values, positive = scores(seed)
        curve = Cumulated.of(values, positive, np.ones((1, len(values))))
        return [float(point[0]) for point in (curve.sensitivity_at(0.8), curve.specificity_at(0.8))]

    def sklearn_s(seed: int) -> list[float]:
        values, positive = scores(seed)
        false_positive, sensitivity, _ = theirs.roc_curve(positive, values, drop_intermediate=False)
        return [
            sensitivity[1 - false_positive >= 0.8 - 1e-12].max(),
            (1 - false_positive)[sensitivity >= 0.8 - 1e-12].max(),
        ]

    assert largest_difference(ours, sklearn_s, FEWER) < 1e-12


def many_classes(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    true = np.concatenate([np.arange(5), rng.integers(0, 5, 30)])
    return softmax(2 * rng.normal(size=(35, 5)) + 2 * np.eye(5)[true]), true


def test_brier() -> None:
    def sklearn_s(seed: int) -> float:
        probabilities, true = many_classes(seed)
        return float(theirs.brier_score_loss(true, probabilities, labels=range(5), scale_by_half=False))

    assert largest_difference(lambda seed: brier_scores(*many_classes(seed)).mean(), sklearn_s) < 1e-12


def test_area_of_many_classes() -> None:
    def sklearn_s(seed: int) -> float:
        probabilities, true = many_classes(seed)
        return float(theirs.roc_auc_score(true, probabilities, multi_class="ovr"))

    difference = largest_difference(lambda seed: macro_auc(*many_classes(seed), np.ones((1, 35)))[0], sklearn_s, FEWER)
    assert difference < 1e-12
