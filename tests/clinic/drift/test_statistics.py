"""The statistics against scipy's, against values worked by hand, and under no drift at all."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, norm

from dr_pipeline.bundle.reference import Distribution, Rate
from dr_pipeline.clinic.drift.statistics import (
    detectable_shift,
    holm,
    ks_distance,
    ks_p_value,
    rate_p_value,
    stability,
)

numbers = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=60)


def test_the_index_by_hand():
    """Bins of a tenth each; the batch lies in the upper half. Counts of 1,000,000 patients: smoothing is nothing."""
    reference = Distribution.of(np.arange(1000.0), 1e6)
    index = stability(reference, np.arange(500.0, 1000.0), 1e6)
    smallest = 0.5 / 1e6  # the smoothed empty bin, nearly
    by_hand = 5 * (0.2 - 0.1) * math.log(2) + 5 * (smallest - 0.1) * math.log(smallest / 0.1)
    assert index.value == pytest.approx(by_hand, rel=0.01)
    assert index.degrees == 9
    assert index.chance == pytest.approx(9 * 2e-6)


def test_without_drift_the_index_is_chance_on_average():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        reference = Distribution.of(rng.normal(size=300), 300)
        found.append(stability(reference, rng.normal(size=100), 100))
    assert np.mean([index.value for index in found]) == pytest.approx(found[0].chance, rel=0.1)
    assert np.mean([index.is_beyond_noise for index in found]) < 0.01


def test_a_value_that_many_share_has_a_bin_of_its_own():
    """One resolution in the reference: every other one is noticed, whether smaller or larger."""
    reference = Distribution.of(np.full(400, 12.0), 200)
    assert stability(reference, np.full(200, 12.0), 100).excess < 0.01
    for other in (8.0, 11.9999, 12.0001, 20.0):
        assert stability(reference, np.full(200, other), 100).excess > 3


@given(numbers, numbers, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_shift_within_the_tolerance_is_no_distance(reference, batch, shift):
    distribution, values = Distribution.of(np.array(reference), len(reference)), np.array(batch)
    plain = ks_distance(distribution, values)
    assert ks_distance(distribution, np.array(distribution.points) + shift, tolerance=shift) < 1e-9
    assert 0 <= ks_distance(distribution, values, tolerance=shift) <= plain + 1e-12
    assert ks_distance(distribution, values, tolerance=0) == plain


@pytest.mark.filterwarnings("ignore:divide by zero")
@given(numbers, numbers)
@settings(max_examples=40, deadline=None)
def test_the_distance_is_scipy_s_up_to_the_quantiles(reference, batch):
    ours = ks_distance(Distribution.of(np.array(reference), len(reference)), np.array(batch))
    assert ours == pytest.approx(ks_2samp(reference, batch, method="asymp").statistic, abs=0.011)


def test_the_p_value_is_scipy_s_asymptotic_one():
    rng = np.random.default_rng(1)
    reference, batch = rng.normal(size=5000), rng.normal(0.1, 1, size=400)
    distance = ks_2samp(reference, batch).statistic
    theirs = ks_2samp(reference, batch, method="asymp").pvalue
    assert ks_p_value(distance, 5000, 400) == pytest.approx(theirs, rel=0.05)


def test_rates():
    assert rate_p_value(Rate(200, 100, 0.04), 0.04, 100) == 1.0
    assert rate_p_value(Rate(200, 100, 0.04), 0.24, 100) < 1e-4
    assert rate_p_value(Rate(200, 100, 0.0), 0.0, 100) == 1.0
    exact, large = (rate_p_value(Rate(0, n, 0.10), 0.11, n) for n in (4_900, 5_100))
    assert large == pytest.approx(exact, rel=0.15)  # the two tests agree where one follows the other


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_is_between_the_value_and_bonferroni_s_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for p_value, ours in zip(p_values, adjusted, strict=True):
        assert p_value <= ours
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    assert [adjusted[at] for at in order] == sorted(adjusted)


def test_what_is_called_detectable_is_detected_in_every_second_batch_or_more():
    rng = np.random.default_rng(2)
    shift = detectable_shift(1000, 200, alpha=0.05, tests=12)
    reference = Distribution(1000, 1000, tuple(norm.ppf((np.arange(1000) + 0.5) / 1000)))
    hits = [ks_p_value(ks_distance(reference, rng.normal(shift, 1, 200)), 1000, 200) < 0.05 / 12 for _ in range(300)]
    assert 0.45 < np.mean(hits) < 0.9
    assert detectable_shift(1000, 2, alpha=0.05, tests=12) == math.inf
