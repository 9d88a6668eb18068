"""EM on the class shares: known answers, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.metrics.prior_shift import class_shares, corrected

SOURCE = np.array([0.4, 0.1, 0.2, 0.2, 0.1])


def drawn(shares: list[float], count: int, sharpness: float) -> np.ndarray:
    """Calibrated probabilities under SOURCE of photographs whose true classes have other shares."""
    rng = np.random.default_rng(5)
    true = rng.choice(5, count, p=shares)
    seen = true + rng.normal(size=count) / sharpness
    likelihood = np.exp(-0.5 * (sharpness * (seen[:, None] - np.arange(5))) ** 2)
    weighted = likelihood * SOURCE
    return weighted / weighted.sum(axis=1, keepdims=True)


def test_it_finds_the_shares_where_they_alone_differ():
    shares = [0.1, 0.3, 0.1, 0.1, 0.4]
    assert class_shares(drawn(shares, 5000, 1.5), SOURCE) == pytest.approx(shares, abs=0.03)


def test_it_changes_nothing_where_nothing_differs():
    assert class_shares(drawn(SOURCE.tolist(), 5000, 1.5), SOURCE) == pytest.approx(SOURCE, abs=0.03)


def test_without_photographs_there_is_no_estimate():
    with pytest.raises(ValueError, match="no photograph"):
        class_shares(np.empty((0, 5)), SOURCE)


@given(st.lists(st.integers(1, 50), min_size=5, max_size=5), st.integers(1, 30))
def test_shares_and_corrected_probabilities_are_distributions(weights, count):
    source = np.array(weights) / sum(weights)
    probabilities = np.random.default_rng(count).dirichlet(np.ones(5), count)
    shares = class_shares(probabilities, source)
    assert shares.sum() == pytest.approx(1)
    assert corrected(probabilities, source, shares).sum(axis=1) == pytest.approx(1)
    assert corrected(probabilities, source, source) == pytest.approx(probabilities)


def test_a_class_without_a_share_stays_without_one():
    source = np.array([0.5, 0.0, 0.5])
    assert class_shares(np.array([[0.5, 0.0, 0.5], [0.9, 0.0, 0.1]]), source)[1] == 0
