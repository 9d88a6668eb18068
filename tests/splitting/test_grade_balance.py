"""The test of the parts' grades: Pearson's statistic by its formula, and its calibration on random assignments."""

import math
import random
from collections import Counter

import numpy as np
import pytest

from dr_pipeline.splitting.grade_balance import grade_test


def test_grades_by_part_are_pearsons() -> None:
    table = {"test": Counter({0: 12, 2: 7, 4: 3}), "fold 0": Counter({0: 30, 2: 9, 4: 1}), "train": Counter[int]()}
    result = grade_test(table)
    counts = np.array([[12, 7, 3], [30, 9, 1]])
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    assert result.chi_square == pytest.approx(((counts - expected) ** 2 / expected).sum())
    assert result.degrees_of_freedom == 2
    assert result.p == pytest.approx(math.exp(-result.chi_square / 2))  # the tail at two degrees of freedom


def test_one_part_or_one_grade_gives_no_test() -> None:
    assert grade_test({"test": Counter({0: 5})}).p == 1
    assert grade_test({"test": Counter({1: 5}), "train": Counter({1: 9})}).p == 1


def test_random_assignments_differ_as_often_as_p_states() -> None:
    rng = random.Random(4)
    low = 0
    for _ in range(300):
        table = {"test": Counter[int](), "train": Counter[int]()}
        for _ in range(300):
            table["test" if rng.random() < 0.3 else "train"][rng.choice((0, 0, 1, 2, 3))] += 1
        low += grade_test(table).p < 0.1
    assert 15 <= low <= 46  # 30 expected; four standard deviations either way
