"""The cut points found are the best there are; the steady ones do better on new photographs."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_pipeline.metrics.cut_points import HALVES, best_cut_points, steady_cut_points
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa

pytestmark = pytest.mark.slow


def kappa(true: NDArray[np.int64], expected: NDArray[np.float64], cuts: tuple[float, ...]) -> float:
    return quadratic_weighted_kappa(true, np.searchsorted(cuts, expected, side="right"))


def test_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        count = int(rng.integers(8, 13))
        true = np.concatenate([np.arange(5), rng.integers(0, 5, count - 5)])
        expected = np.clip(np.round(true + rng.normal(size=count), 1), 0.1, 3.9)  # rounded: with ties
        between = np.unique(expected)
        places = np.concatenate([[0.0], (between[1:] + between[:-1]) / 2, [4.0]])
        best = max(kappa(true, expected, cuts) for cuts in itertools.combinations_with_replacement(places, 4))
        assert kappa(true, expected, best_cut_points(expected, true)) == pytest.approx(best, abs=1e-12)


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(1)
    true = np.concatenate([np.arange(5), rng.integers(0, 5, 30)])
    expected = np.clip(true + rng.normal(size=35), 0, 4)
    weights = rng.integers(1, 4, 35)
    repeated = best_cut_points(np.repeat(expected, weights), np.repeat(true, weights))
    assert best_cut_points(expected, true, weights) == repeated


def test_cuts_are_midpoints_ascending_and_within_the_scale() -> None:
    expected = np.array([0.1, 0.3, 0.9, 1.1, 1.9, 2.1, 2.8, 3.2, 3.9, 4.0])
    cuts = best_cut_points(expected, np.repeat(np.arange(5), 2))
    assert cuts == pytest.approx((0.6, 1.5, 2.45, 3.55))
    rng = np.random.default_rng(2)
    for _ in range(50):
        cuts = best_cut_points(4 * rng.random(12), rng.integers(0, 5, 12))
        assert list(cuts) == sorted(cuts)
        assert cuts[0] >= 0
        assert cuts[-1] <= 4


def test_cuts_beside_an_absent_grade_stay_at_the_halves() -> None:
    rng = np.random.default_rng(3)
    true = rng.choice([0, 1, 2, 4], 60)
    expected = np.clip(0.8 * true + 0.3 + 0.2 * rng.normal(size=60), 0, 4)
    cuts = best_cut_points(expected, true)
    assert cuts[2:] == HALVES[2:]
    assert cuts[0] != HALVES[0]
    assert best_cut_points(np.array([1.0, 3.0]), np.array([2, 2])) == HALVES


def test_steady_cuts_do_better_on_new_photographs() -> None:
    rng = np.random.default_rng(4)

    def draw(count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        true = rng.choice(5, count, p=(0.36, 0.14, 0.22, 0.14, 0.14))
        return np.clip(0.8 * true + 0.4 + 0.6 * rng.normal(size=count), 0, 4), true

    new_expected, new_true = draw(50_000)
    best, steady = [], []
    for seed in range(15):
        expected, true = draw(126)
        groups = [str(row // 2) for row in range(126)]
        best.append(kappa(new_true, new_expected, best_cut_points(expected, true)))
        cuts = steady_cut_points(expected, true, groups, replicates=50, seed=seed)
        steady.append(kappa(new_true, new_expected, cuts))
    assert np.mean(steady) > np.mean(best) + 0.003
    assert min(steady) > min(best)
