"""Kappa agrees with scikit-learn, also where grades are missing."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from dr_pipeline.metrics.kappa import (
    confusion_matrix,
    kappa_of_confusions,
    kappa_standard_error,
    quadratic_weighted_kappa,
)

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_equals_sklearn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = map(list, zip(*pairs, strict=True))
    ours = quadratic_weighted_kappa(true, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cohen_kappa_score(true, predicted, weights="quadratic", labels=range(5))
    if math.isnan(ours):
        assert len(set(true + predicted)) == 1  # sklearn: nan, or 1 in some versions
    else:
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("kept", [(0, 4), (2,), (0, 1, 2, 3, 4)])
def test_missing_grades_equal_sklearn(kept: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.choice(kept, 5000), rng.integers(0, 5, 5000)
    theirs = cohen_kappa_score(true, predicted, weights="quadratic", labels=range(5))
    assert quadratic_weighted_kappa(true, predicted) == pytest.approx(theirs, abs=1e-12)


def test_known_values() -> None:
    assert quadratic_weighted_kappa([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]) == 1.0
    assert quadratic_weighted_kappa([0, 4], [4, 0]) == -1.0
    assert quadratic_weighted_kappa([0, 1, 2, 3], [2, 2, 2, 2]) == pytest.approx(0.0, abs=1e-15)
    assert math.isnan(quadratic_weighted_kappa([3, 3], [3, 3]))
    assert math.isnan(quadratic_weighted_kappa([], []))


def test_confusion_has_true_grades_in_rows() -> None:
    assert confusion_matrix([1, 1, 4], [2, 2, 0])[1, 2] == 2
    assert confusion_matrix([1, 1, 4], [2, 2, 0])[4, 0] == 1


@pytest.mark.parametrize(("true", "predicted"), [([5], [0]), ([0], [-1]), ([0, 1], [0])])
def test_impossible_grades_are_refused(true: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError):
        confusion_matrix(true, predicted)


def test_many_confusions_at_once() -> None:
    rng = np.random.default_rng(1)
    confusions: NDArray[np.int64] = rng.integers(0, 9, (7, 3, 5, 5))
    kappas = kappa_of_confusions(confusions)
    assert kappas.shape == (7, 3)
    assert kappas[2, 1] == kappa_of_confusions(confusions[2, 1])


def test_standard_error_is_the_spread_over_draws_of_patients() -> None:
    rng = np.random.default_rng(0)
    true = np.repeat(rng.integers(0, 5, 20_000), 2)
    predicted = np.clip(true + np.repeat(rng.integers(-1, 2, 20_000), 2), 0, 4)  # both eyes err alike
    kappas, errors, too_small = [], [], []
    for start in range(0, 40_000, 200):
        part, groups = slice(start, start + 200), [f"P{eye // 2}" for eye in range(200)]
        kappas.append(quadratic_weighted_kappa(true[part], predicted[part]))
        errors.append(kappa_standard_error(true[part], predicted[part], groups))
        too_small.append(kappa_standard_error(true[part], predicted[part], [str(eye) for eye in range(200)]))
    assert np.mean(errors) == pytest.approx(np.std(kappas), rel=0.15)
    assert np.mean(too_small) < 0.8 * np.mean(errors)  # eyes are no patients


def test_standard_error_of_what_has_none_is_zero() -> None:
    assert kappa_standard_error([0, 1, 2], [0, 1, 2], ["a", "a", "a"]) == 0
    assert kappa_standard_error([1, 1, 1], [1, 1, 1], ["a", "b", "c"]) == 0
