"""Cross-fitted kappa: the order counts, not the scale, and no photograph grades itself."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.metrics.cross_fitting import cross_fitted_kappa, group_parts, held_out_parts
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa

TRUE = np.arange(200) % 5
GROUPS = [f"patient {number // 2}" for number in range(200)]


def test_an_order_without_a_fault_has_kappa_one_on_any_scale() -> None:
    noise = np.random.default_rng(0).uniform(0, 0.1, 200)
    for squeezed in (TRUE + noise - 0.05, 1.9 + 0.05 * (TRUE + noise)):
        assert cross_fitted_kappa(np.clip(squeezed, 0, 4), TRUE, GROUPS) == 1
    assert quadratic_weighted_kappa(TRUE, np.rint(1.9 + 0.05 * TRUE).astype(int)) == 0  # what rounding would say


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.2, 3), st.floats(0.1, 0.9))
def test_a_monotone_scale_changes_nothing_much(seed: int, power: float, width: float) -> None:
    noisy = np.clip(TRUE + np.random.default_rng(seed).normal(0, 0.6, 200), 0, 4)
    other = (4 - 4 * width) / 2 + 4 * width * (noisy / 4) ** power
    # Cut points are half-way between two photographs, which is not half-way on another scale.
    assert abs(cross_fitted_kappa(other, TRUE, GROUPS) - cross_fitted_kappa(noisy, TRUE, GROUPS)) < 0.03


def test_noise_has_no_kappa_although_cut_points_are_fitted() -> None:
    draws = [np.random.default_rng(seed).uniform(0, 4, 200) for seed in range(40)]
    assert abs(np.mean([cross_fitted_kappa(draw, TRUE, GROUPS) for draw in draws])) < 0.03


def test_a_group_is_in_one_part_and_one_group_alone_grades_itself() -> None:
    parts = group_parts(GROUPS)
    assert all(parts[number] == parts[number + 1] for number in range(0, 200, 2))
    ((held_out, rest),) = held_out_parts(["one"] * 5)
    assert held_out.tolist() == rest.tolist() == [0, 1, 2, 3, 4]
    assert math.isnan(cross_fitted_kappa(np.zeros(5), np.zeros(5, np.int64), ["one"] * 5))
