"""The paired difference of proportions, on a published example and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.metrics.paired_proportions import paired_difference

pairs = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 9)), min_size=1, max_size=60)


def table(both: int, lost: int, gained: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    old = np.repeat([True, True, False, False], [both, lost, gained, neither])
    new = np.repeat([True, False, True, False], [both, lost, gained, neither])
    return old, new


def names(count: int) -> list[str]:
    return [f"patient {number}" for number in range(count)]


def test_the_published_example_of_21_children() -> None:
    """Airway hyper-responsiveness before and after a transplantation (Fagerland et al., Stat Med 2014;33:2850)."""
    old, new = table(1, 1, 7, 12)
    estimate = paired_difference(old, new, names(21), 0.95)
    assert estimate.value == pytest.approx(6 / 21)
    assert (estimate.low, estimate.high) == (pytest.approx(0.0134, abs=5e-4), pytest.approx(0.508, abs=5e-4))


def test_without_discordant_photographs_few_show_little() -> None:
    old, new = table(20, 0, 0, 0)
    few = paired_difference(old, new, names(20), 0.95)
    many = paired_difference(np.tile(old, 50), np.tile(new, 50), names(1000), 0.95)
    assert few.value == many.value == 0
    assert few.low < -0.1
    assert many.low > -0.01


def test_alike_photographs_of_a_patient_count_as_one() -> None:
    """Each photograph ten times under one patient: the interval is about that of one photograph each."""
    old, new = table(30, 4, 14, 52)
    once = paired_difference(old, new, names(100), 0.95)
    ten = [name for name in names(100) for _ in range(10)]
    repeated = paired_difference(np.repeat(old, 10), np.repeat(new, 10), ten, 0.95)
    assert (repeated.low, repeated.high) == (pytest.approx(once.low, abs=2e-3), pytest.approx(once.high, abs=2e-3))


def test_the_interval_covers_with_correlated_eyes() -> None:
    rng, covered = np.random.default_rng(1), 0
    groups = [name for name in names(60) for _ in range(2)]
    for _ in range(400):
        shared = rng.random((60, 1)) < 0.6  # both eyes share the patient's draw, or have their own
        draws = np.where(shared, rng.random((60, 1)), rng.random((60, 2))).ravel()
        old, new = draws < 0.85, (draws > 0.08) & (draws < 0.88)
        estimate = paired_difference(old, new, groups, 0.95)
        covered += estimate.low <= 0.80 - 0.85 <= estimate.high
    assert 0.92 <= covered / 400 <= 0.99


@given(pairs)
def test_exchanging_the_graders_turns_the_sign(rows: list[tuple[bool, bool, int]]) -> None:
    old, new = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    groups = [str(row[2]) for row in rows]
    one, other = paired_difference(old, new, groups, 0.95), paired_difference(new, old, groups, 0.95)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert -1 <= one.low <= one.value <= one.high <= 1


def test_no_photograph_has_no_difference() -> None:
    nothing = np.zeros(0, dtype=np.bool_)
    assert np.isnan(paired_difference(nothing, nothing, [], 0.95).value)
