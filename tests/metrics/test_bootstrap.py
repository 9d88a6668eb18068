"""Resampling by group, closed-form intervals, and what happens at the edges."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from dr_pipeline.files import canonical_json
from dr_pipeline.metrics.bootstrap import Clusters, percentile_interval, qwk_estimate
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion, student_quantile, wilson

DRAWN = {"replicates": 300, "seed": 4, "confidence": 0.95}


def test_groups_are_drawn_whole_and_as_many_as_there_are() -> None:
    clusters = Clusters(["b", "a", "b", "c"])
    weights = np.concatenate(list(clusters.weight_blocks(500, seed=0)))
    assert weights.shape == (500, 3)
    assert (weights.sum(axis=1) == 3).all()
    assert weights.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.12)
    records = np.stack(list(clusters.record_weights(20, seed=0)))
    assert (records[:, 0] == records[:, 2]).all()


def test_estimate_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    true, predicted, groups = rng.integers(0, 5, 80), rng.integers(0, 5, 80), rng.integers(0, 30, 80).astype(str)
    order = rng.permutation(80)
    one = qwk_estimate(true, predicted, list(groups), **DRAWN)  # type: ignore[arg-type]
    other = qwk_estimate(true[order], predicted[order], list(groups[order]), **DRAWN)  # type: ignore[arg-type]
    assert one == other


def test_resampling_equals_the_naive_way() -> None:
    rng = np.random.default_rng(1)
    true, predicted = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
    groups = [f"g{row // 3:02}" for row in range(60)]
    from dr_pipeline.metrics.kappa import quadratic_weighted_kappa

    naive = []
    for weights in Clusters(groups).record_weights(300, seed=4):
        rows = np.repeat(np.arange(60), weights.astype(int))
        naive.append(quadratic_weighted_kappa(true[rows], predicted[rows]))
    found = qwk_estimate(true, predicted, groups, **DRAWN)  # type: ignore[arg-type]
    assert (found.low, found.high) == pytest.approx(percentile_interval(np.array(naive), 0.95, 20), abs=1e-12)


def test_undefined_is_null_with_a_note() -> None:
    constant = qwk_estimate([2, 2, 2, 2], [2, 2, 2, 2], list("abcd"), **DRAWN)  # type: ignore[arg-type]
    empty = qwk_estimate([], [], [], **DRAWN)  # type: ignore[arg-type]
    few = qwk_estimate([0, 1], [0, 1], ["a", "b"], **DRAWN)  # type: ignore[arg-type]
    for figure in (constant.to_dict(), empty.to_dict()):
        assert (figure["value"], figure["low"], figure["high"]) == (None, None, None)
        assert "undefined" in figure["note"]
    assert few.to_dict() == {"n": 2, "value": 1.0, "low": None, "high": None, "note": few.to_dict()["note"]}
    assert json.loads(canonical_json(few.to_dict()))["low"] is None
    assert Estimate(0.5, 0.4, 0.6, 9).to_dict() == {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (7, 10), (450, 500)])
def test_wilson_equals_scipy(successes: int, trials: int) -> None:
    theirs = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials, 0.95) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_without_trials_is_undefined() -> None:
    assert all(map(math.isnan, wilson(0, 0, 0.95)))


def test_like_eyes_count_as_one() -> None:
    """Two eyes that always agree carry the information of one."""
    hits = np.repeat(np.array([True] * 30 + [False] * 10), 2)
    paired = clustered_proportion(hits, [str(row // 2) for row in range(80)], 0.95)
    alone = clustered_proportion(hits[::2], [str(row) for row in range(40)], 0.95)
    assert (paired.low, paired.high) == pytest.approx((alone.low, alone.high), abs=0.005)
    all_hit = clustered_proportion(np.ones(80, dtype=bool), [str(row // 2) for row in range(80)], 0.95)
    assert (all_hit.low, all_hit.high) == pytest.approx(wilson(40, 40, 0.95))


@pytest.mark.parametrize("degrees", [4, 10, 62, 500])
def test_student_quantile_equals_scipy(degrees: int) -> None:
    assert student_quantile(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=0.01)
