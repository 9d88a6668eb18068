"""Combinations fitted on validation: better where there is something to learn, not worse where there is not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dr_pipeline.deployment.ensemble_weights import Combine, cross_fit_ensemble, fit_ensemble
from dr_pipeline.models.ensemble import Combination, Weighted

pytestmark = pytest.mark.slow

Drawn = tuple[NDArray[np.float32], NDArray[np.int64]]


def draw(seed: int, count: int, noise: tuple[float, ...], scale: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Drawn:
    """Opinions of members that see the grade through a common and their own noise; `scale` shifts what they call."""
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 5, count)
    common = grades + 0.8 * rng.normal(size=count)
    seen = np.stack([common + one * rng.normal(size=count) for one in noise], axis=1)
    logits = -((seen[:, :, None] - np.arange(5) * np.array(scale)[: len(noise), None]) ** 2) / 2
    opinions: NDArray[np.float32] = torch.from_numpy(logits).float().log_softmax(2).numpy()
    return opinions, grades


def log_loss(log_probabilities: NDArray[np.float32], grades: NDArray[np.int64]) -> float:
    return -float(log_probabilities[np.arange(len(grades)), grades].mean())


def on_new(combine: Combine, seed: int, count: int, noise: tuple[float, ...], **scale: tuple[float, ...]) -> float:
    fitted = fit_ensemble(combine, *draw(seed, count, noise, **scale))
    opinions, grades = draw(seed + 1000, 4000, noise, **scale)
    return log_loss(fitted(torch.from_numpy(opinions)).numpy(), grades)


def test_weighting_takes_the_weight_from_a_bad_member() -> None:
    opinions, grades = draw(0, 300, (0.3, 0.3, 3.0))
    fitted = fit_ensemble("weighted", opinions, grades)
    assert isinstance(fitted, Weighted)
    weights = fitted.to_dict()["weights"]
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    assert weights[2] < 0.05
    assert on_new("weighted", 0, 300, (0.3, 0.3, 3.0)) < on_new("mean", 0, 300, (0.3, 0.3, 3.0)) - 0.05


def test_no_other_weights_have_a_lower_log_loss() -> None:
    opinions, grades = draw(1, 200, (0.3, 0.6, 1.0))
    fitted = fit_ensemble("weighted", opinions, grades)

    def loss(one: Combination) -> float:
        return log_loss(one(torch.from_numpy(opinions)).numpy(), grades)

    rng = np.random.default_rng(0)
    assert all(loss(fitted) <= loss(Weighted(rng.dirichlet(np.ones(3)).tolist())) + 1e-6 for _ in range(50))


def test_stacking_learns_a_bias_and_loses_nothing_where_there_is_none() -> None:
    biased = {"scale": (0.7, 0.8, 0.8)}
    gains = [
        on_new("mean", seed, 126, (0.5,) * 3, **biased) - on_new("stacked", seed, 126, (0.5,) * 3, **biased)
        for seed in range(3)
    ]
    assert np.mean(gains) > 0.03
    losses = [on_new("stacked", seed, 126, (0.5,) * 3) - on_new("mean", seed, 126, (0.5,) * 3) for seed in range(3)]
    assert np.mean(losses) < 0.01


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["weighted", "stacked"]), st.integers(0, 100))
def test_a_photographs_own_grade_does_not_reach_its_unseen_logits(combine: Combine, seed: int) -> None:
    opinions, grades = draw(seed, 40, (0.4, 0.8))
    parts = np.arange(40) // 2 % 5
    before = cross_fit_ensemble(combine, opinions, grades, parts)
    changed = grades.copy()
    changed[parts == 3] = (changed[parts == 3] + 1) % 5
    after = cross_fit_ensemble(combine, opinions, changed, parts)
    assert np.array_equal(before[parts == 3], after[parts == 3])
    assert not np.array_equal(before, after)


def test_one_group_in_all_is_judged_by_itself() -> None:
    opinions, grades = draw(3, 10, (0.4, 0.8))
    whole = fit_ensemble("weighted", opinions, grades)(torch.from_numpy(opinions)).numpy()
    assert np.array_equal(cross_fit_ensemble("weighted", opinions, grades, np.zeros(10, dtype=np.int64)), whole)
