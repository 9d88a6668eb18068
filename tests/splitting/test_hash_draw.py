"""The assignment by hash has exact sizes at the least cost and depends on names, shares and salt only."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dr_pipeline.splitting.hash_draw import costs, hash_draw, min_cost_assignment


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 10**6))
def test_the_assignment_has_the_least_cost(seats: list[int], seed: int) -> None:
    num = sum(seats)
    cost = np.random.default_rng(seed).integers(0, 10**6, (num, len(seats)))
    part = min_cost_assignment(cost, np.array(seats))
    assert np.bincount(part, minlength=len(seats)).tolist() == seats
    columns = np.repeat(np.arange(len(seats)), seats)
    rows, chosen = linear_sum_assignment(cost[:, columns])
    assert cost[np.arange(num), part].sum() == cost[rows, columns[chosen]].sum()


def test_sizes_follow_the_shares_in_expectation() -> None:
    names = [f"patient:{number}" for number in range(20_000)]
    free = costs(names, ["test", "train"], [0.2, 0.8], "s").argmin(axis=1)
    assert np.mean(free == 0) == pytest.approx(0.2, abs=0.01)


def test_order_of_names_changes_nothing() -> None:
    names = [f"patient:{number}" for number in range(500)]
    seats, shares = {"test": 100, "0": 25, "train": 375}, {"test": 0.2, "0": 0.05, "train": 0.75}
    drawn = hash_draw(names, seats, shares, "s")
    random.Random(1).shuffle(names)
    assert hash_draw(names, seats, shares, "s") == drawn
    assert hash_draw([], dict.fromkeys(seats, 0), shares, "s") == {}
