"""Figures averaged over grades equal scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from dr_pipeline.metrics.kappa import confusion_matrix
from dr_pipeline.metrics.macro import macro_auc, macro_f1_of_confusions

RNG = np.random.default_rng(5)


def drawn(grades: tuple[int, ...], count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    true = np.concatenate([grades, RNG.choice(grades, count)]).astype(np.int64)
    scores = RNG.normal(size=(len(true), 5)) + 1.2 * np.eye(5)[true]
    return true, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["ovr", "ovo"])
def test_the_macro_area_is_scikit_learns(kind: str) -> None:
    true, probabilities = drawn((0, 1, 2, 3, 4))
    expected = roc_auc_score(true, probabilities, average="macro", multi_class=kind)
    found = macro_auc(probabilities, true, np.ones((1, len(true))), one_vs_one=kind == "ovo")
    assert found[0] == pytest.approx(expected, abs=1e-12)
    weights = RNG.integers(0, 4, (1, len(true))).astype(float)
    repeated = np.repeat(np.arange(len(true)), weights[0].astype(int))
    expected = roc_auc_score(true[repeated], probabilities[repeated], average="macro", multi_class=kind)
    assert macro_auc(probabilities, true, weights, one_vs_one=kind == "ovo")[0] == pytest.approx(expected, abs=1e-12)


def test_grades_that_do_not_occur_are_left_out_of_the_mean() -> None:
    true, probabilities = drawn((0, 3))
    areas = [roc_auc_score(true == grade, probabilities[:, grade]) for grade in (0, 3)]
    assert macro_auc(probabilities, true, np.ones((1, len(true))))[0] == pytest.approx(np.mean(areas))
    same = np.zeros(4, dtype=np.int64)
    assert np.isnan(macro_auc(np.full((4, 5), 0.2), same, np.ones((2, 4)))).all()
    assert np.isnan(macro_auc(np.empty((0, 5)), same[:0], np.ones((1, 0)), one_vs_one=True)).all()


@pytest.mark.parametrize("grades", [(0, 1, 2, 3, 4), (0, 2)])
def test_macro_f1_is_scikit_learns(grades: tuple[int, ...]) -> None:
    true = RNG.choice(grades, 60)
    predicted = RNG.choice(grades, 60)
    expected = f1_score(true, predicted, average="macro")
    assert macro_f1_of_confusions(confusion_matrix(true, predicted)) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(macro_f1_of_confusions(np.zeros((5, 5))))
