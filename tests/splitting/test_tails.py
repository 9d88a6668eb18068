"""The statistics agree with scipy's, and the parts' comparison with a blind draw."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2, chi2_contingency

from dr_pipeline.splitting.grade_balance import grade_test
from dr_pipeline.splitting.tails import binomial_p, chi_square_p


@given(st.floats(0, 500), st.integers(1, 200))
def test_chi_square_tail_is_scipys(statistic: float, degrees: int) -> None:
    assert chi_square_p(statistic, degrees) == pytest.approx(chi2.sf(statistic, degrees), rel=1e-8, abs=1e-12)


@given(st.integers(0, 200), st.integers(0, 3000), st.floats(0.001, 0.999))
def test_binomial_tail_is_scipys(hits: int, trials: int, share: float) -> None:
    hits = min(hits, trials)
    assert binomial_p(hits, trials, share) == pytest.approx(binom.sf(hits - 1, trials, share), rel=1e-6, abs=1e-12)


def test_grades_by_part_are_pearsons() -> None:
    table = {"test": Counter({0: 12, 2: 7, 4: 3}), "fold 0": Counter({0: 30, 2: 9, 4: 1}), "train": Counter[int]()}
    found = grade_test(table)
    expected = chi2_contingency(np.array([[12, 7, 3], [30, 9, 1]]), correction=False)
    assert found.chi_square == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.degrees_of_freedom == 2


def test_one_part_or_one_grade_says_nothing() -> None:
    assert grade_test({"test": Counter({0: 5})}).p == 1
    assert grade_test({"test": Counter({1: 5}), "train": Counter({1: 9})}).p == 1


def test_blind_draws_are_called_different_as_often_as_p_says() -> None:
    rng = random.Random(4)
    low = 0
    for _ in range(300):
        table = {"test": Counter[int](), "train": Counter[int]()}
        for _ in range(300):
            table["test" if rng.random() < 0.3 else "train"][rng.choice((0, 0, 1, 2, 3))] += 1
        low += grade_test(table).p < 0.1
    assert 15 <= low <= 46  # 30 expected; four standard deviations either way
