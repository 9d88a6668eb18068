"""A cascade asks the large network near the cut points only, as often as the time allows, and grades held out."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.bundle.golden import make_golden
from dr_pipeline.bundle.onnx_content import require_self_contained
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.deployment.cascade import (
    CascadeLimits,
    Routing,
    Stage,
    cross_fit,
    evaluate_cascades,
    fit_routing,
    most_asked,
    not_worth_it,
)
from dr_pipeline.deployment.formats.cascade_graph import cascade_graph
from dr_pipeline.metrics.cross_fitting import group_parts
from dr_pipeline.params.evaluation import OperatingPoint
from tests.factories.bundles import DECISION, onnx_model
from tests.factories.small_networks import relu6_network, small_photographs

LIMITS = CascadeLimits(budget_ms=50.0, qwk_margin=0.01)
TARGETS = OperatingPoint(target_referable_sensitivity=0.9, human_review_share=0.1)
OPTIONS: Any = {"replicates": 200, "seed": 1, "confidence": 0.95}


def logits_of(expected):
    """Logits whose expected grade is about `expected`, shape (N,)."""
    return -4.0 * (np.arange(5) - np.asarray(expected)[:, None]) ** 2


def stages(*, patients=150, small_ms=10.0, large_ms=30.0, seed=0):
    """`small` errs where its expected grade is near a cut point, `large` never there but sometimes elsewhere."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, 2 * patients)
    offset = rng.normal(0, 0.35, len(true))
    expected = np.clip(true + offset, 0, 4)
    wrong = (np.abs(offset) < 0.25) & (rng.random(len(true)) < 0.5)
    better = np.where(wrong, (true + 1).clip(0, 4), true).astype(float)
    groups = [f"p{row // 2}" for row in range(len(true))]
    grades = [np.searchsorted((0.5, 1.5, 2.5, 3.5), values).astype(np.int64) for values in (expected, better)]
    one = Stage("small", 32, logits_of(expected), grades[0], small_ms, small_ms + 2, small_ms / 2)
    two = Stage("large", 32, logits_of(better), grades[1], large_ms, large_ms + 2, large_ms - small_ms / 2)
    return [one, two], true, groups


def evaluated(both, true, groups, limits=LIMITS):
    return evaluate_cascades(both, true, groups, limits, TARGETS, **OPTIONS)


def test_it_is_better_than_both_where_their_errors_are_apart():
    (row,) = evaluated(*stages())
    assert (row["small"], row["large"], row["reasons"]) == ("small", "large", [])
    assert row["qwk_minus_small"]["low"] > 0
    assert row["qwk_minus_large"]["low"] > 0
    assert 0.05 < row["asked_share"] < 0.8
    assert row["mean_ms"] == pytest.approx(10 + row["asked_share"] * 25, abs=0.01)
    assert row["p95_ms_at_most"] == 37.0


def test_over_the_budget_or_with_another_side_it_is_not_exported():
    (small, large), true, groups = stages(patients=60)
    (row,) = evaluated([small, dataclasses.replace(large, input_px=64)], true, groups, CascadeLimits(36.0, 0.01))
    assert "32 and 64 px" in row["reasons"][0]
    assert "p95 may reach 37.0 ms" in row["reasons"][1]


def test_of_equal_networks_the_large_one_is_never_asked():
    (small, large), true, groups = stages(patients=60)
    same = dataclasses.replace(large, logits=small.logits, grade=small.grade)
    (row,) = evaluated([small, same], true, groups)
    assert row["asked_share"] == 0
    assert row["qwk_minus_small"]["value"] == 0
    assert row["p95_ms_at_most"] == small.p95_ms
    assert row["reasons"] == ["the large network is never asked"]


def test_networks_that_are_as_fast_as_each_other_make_no_cascade():
    both, true, groups = stages(patients=20, small_ms=30.0, large_ms=30.0)
    assert evaluated(both, true, groups) == []
    assert evaluated(both[:1], true, groups) == []


@pytest.mark.parametrize(
    ("small_low", "large_low", "time", "words"),
    [
        (0.01, 0.001, 1.05, ""),  # better than both at the large one's mean time
        (0.01, -0.009, 0.85, ""),  # as good as the large one in less time
        (0.01, 0.001, 1.2, "neither better"),
        (0.01, -0.009, 0.95, "neither better"),  # less time than a latency moves from run to run
        (0.01, -0.011, 0.5, "neither better"),
        (0.0, 0.01, 0.5, "not better than the small network"),
        (None, 0.01, 0.5, "undefined (n = 9)"),
    ],
)
def test_the_second_network_has_to_earn_its_place(small_low, large_low, time, words):
    differences = [{"value": 0.02, "low": low, "high": 0.1, "n": 9} for low in (small_low, large_low)]
    reason = not_worth_it(*differences, time, qwk_margin=0.01)
    assert words in reason if words else reason == ""


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1), st.integers(0, 50))
def test_the_large_network_is_asked_as_often_as_allowed_and_only_near_a_cut(most, seed):
    (small, large), true, groups = stages(patients=30, seed=seed)
    routing = fit_routing(small.logits, large.logits, true, groups, most=most, seed=1)
    asked, distance = routing.asked(small.logits), routing.distance(small.logits)
    assert asked.sum() <= round(most * len(true))
    assert not asked.any() or distance[asked].max() <= distance[~asked].min(initial=np.inf)
    one, two = (stage.logits / at for stage, at in zip((small, large), routing.temperatures, strict=True))
    mixed = routing.logits(small.logits, large.logits)
    assert np.array_equal(mixed[asked], two[asked])
    assert np.array_equal(mixed[~asked], one[~asked])


def test_no_photograph_chooses_its_own_routing():
    """Other grades of the readers in one part change no logit in that part."""
    (small, large), true, groups = stages(patients=40)
    before, asked = cross_fit(small.logits, large.logits, true, groups, most=1.0, seed=1)
    part = group_parts(groups) == 0
    after, asked_after = cross_fit(small.logits, large.logits, np.where(part, 4 - true, true), groups, most=1.0, seed=1)
    assert np.array_equal(before[part], after[part])
    assert np.array_equal(asked[part], asked_after[part])


def test_the_time_of_the_slow_network_alone_bounds_the_share():
    (small, large), _, _ = stages(patients=2)
    assert most_asked(small, large) == pytest.approx(20 / 25)
    assert most_asked(large, small) < 0


PHOTOGRAPHS = np.concatenate(small_photographs(12))


def alone(model):
    return OnnxModel(model.SerializeToString(), threads=1).logits(PHOTOGRAPHS)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_graph_gives_what_its_networks_give_whatever_the_batch(share):
    """Also where none of a batch, or all of it, goes to the second network."""
    small, large = relu6_network(seed=0), relu6_network(seed=1)
    routing = Routing((2.0, 0.5), (0.5, 1.5, 2.5, 3.5), 0.0)
    distance = routing.distance(alone(small))
    margin = float(np.quantile(distance, share)) + (1.0 if share == 1.0 else 0.0) if share else 0.0
    routing = dataclasses.replace(routing, margin=margin)
    made = cascade_graph(small, large, routing).SerializeToString()
    require_self_contained(made, where="cascade")
    cascade = OnnxModel(made, threads=1)
    found = cascade.logits(PHOTOGRAPHS)
    expected = routing.logits(alone(small), alone(large))
    assert np.abs(found - expected).max() < 1e-4
    assert np.array_equal(cascade.routing(PHOTOGRAPHS) < 0, routing.asked(alone(small)))
    assert routing.asked(alone(small)).mean() == pytest.approx(share, abs=0.1)
    assert cascade.is_cascade
    for batch in (1, 5):
        pieces = [cascade.logits(PHOTOGRAPHS[at : at + batch]) for at in range(0, 12, batch)]
        assert np.abs(np.concatenate(pieces) - found).max() < 1e-5


def test_networks_of_different_sides_make_no_graph():
    small, large = (onnx.load_from_string(onnx_model(side=side)) for side in (32, 64))
    with pytest.raises(ValueError, match="one side"):
        cascade_graph(small, large, Routing((1.0, 1.0), (0.5, 1.5, 2.5, 3.5), 0.1))


def test_the_self_test_takes_drawings_of_both_routes_and_none_at_the_border():
    small, large = (onnx.load_from_string(onnx_model(seed=seed, scale=0.03)) for seed in (3, 4))
    cascade = OnnxModel(
        cascade_graph(small, large, Routing((1.0, 1.0), (0.5, 1.5, 2.5, 3.5), 0.25)).SerializeToString(), threads=1
    )
    golden = make_golden(cascade, DECISION)
    routing = cascade.routing(golden.inputs)
    assert 0 < (routing < 0).sum() < len(routing)
    assert np.abs(routing).min() >= 0.05
    assert golden.replay(cascade, DECISION, where="bundle") == 0
