"""A cascade asks the large network near the cut points only, as often as the time allows, and grades held out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.deployment.cascade import Stage, cross_fit, evaluate_cascades, fit_margin, most_asked
from dr_pipeline.metrics.cross_fitting import group_parts

CUTS = (0.5, 1.5, 2.5, 3.5)
OPTIONS = {"budget_ms": 50.0, "replicates": 200, "seed": 1, "confidence": 0.95}


def stages(*, patients=150, small_ms=10.0, large_ms=30.0, seed=0):
    """`small` errs where its expected grade is near a cut point, `large` never there but sometimes elsewhere."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, 2 * patients)
    offset = rng.uniform(-0.5, 0.5, len(true))
    near = np.abs(offset) > 0.3
    expected = np.clip(true + offset, 0, 4)
    small = np.where(near & (rng.random(len(true)) < 0.5), (true + rng.choice([-1, 1], len(true))).clip(0, 4), true)
    large = np.where(~near & (rng.random(len(true)) < 0.15), (true + 1).clip(0, 4), true)
    groups = [f"p{row // 2}" for row in range(len(true))]
    one = Stage("small", small, expected, CUTS, small_ms, small_ms + 2, small_ms / 2)
    two = Stage("large", large, true.astype(float), CUTS, large_ms, large_ms + 2, large_ms - small_ms / 2)
    return [one, two], true, groups


def test_it_beats_both_where_their_errors_are_apart():
    both, true, groups = stages()
    (row,) = evaluate_cascades(both, true, groups, **OPTIONS)
    assert (row["small"], row["large"]) == ("small", "large")
    assert row["beats_both"]
    assert row["qwk_minus_small"]["low"] > 0
    assert row["qwk_minus_large"]["low"] > 0
    assert 0.2 < row["asked_share"] < 0.6
    assert row["mean_ms"] == pytest.approx(10 + row["asked_share"] * 25, abs=0.01)
    assert row["p95_ms_at_most"] == 37.0
    assert not row["deployed"]


def test_over_the_budget_it_is_no_alternative():
    both, true, groups = stages()
    (row,) = evaluate_cascades(both, true, groups, **OPTIONS | {"budget_ms": 36.0})
    assert not row["beats_both"]


def test_of_equal_networks_the_large_one_is_never_asked():
    (small, large), true, groups = stages()
    (row,) = evaluate_cascades([small, dataclasses.replace(large, grade=small.grade)], true, groups, **OPTIONS)
    assert row["asked_share"] == 0
    assert row["qwk_minus_small"]["value"] == 0
    assert row["p95_ms_at_most"] == small.p95_ms
    assert not row["beats_both"]


def test_networks_that_are_as_fast_as_each_other_make_no_cascade():
    both, true, groups = stages(small_ms=30.0, large_ms=30.0)
    assert evaluate_cascades(both, true, groups, **OPTIONS) == []
    assert evaluate_cascades(both[:1], true, groups, **OPTIONS) == []


@given(st.floats(0.05, 1), st.integers(0, 50))
def test_the_large_network_is_asked_as_often_as_allowed_and_only_near_a_cut(most, seed):
    (small, large), true, _ = stages(patients=30, seed=seed)
    margin = fit_margin(small.distance, small.grade, large.grade, true, most=most)
    asked = small.distance < margin
    assert asked.sum() <= round(most * len(true))
    assert not asked.any() or small.distance[asked].max() <= small.distance[~asked].min(initial=np.inf)


def test_no_photograph_chooses_its_own_margin():
    """Other grades of the readers in one part change no decision in that part."""
    (small, large), true, groups = stages(patients=40)
    before, _ = cross_fit(small, large, true, groups, most=1.0)
    part = group_parts(groups) == 0
    after, _ = cross_fit(small, large, np.where(part, 4 - true, true), groups, most=1.0)
    assert np.array_equal(before[part], after[part])


def test_the_time_of_the_slow_network_alone_bounds_the_share():
    (small, large), _, _ = stages()
    assert most_asked(small, large) == pytest.approx(20 / 25)
    assert most_asked(large, small) < 0
