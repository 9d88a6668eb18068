"""Weights of rare grades."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.section import validate
from dr_pipeline.params.training import Balance
from dr_pipeline.training.data.class_weights import grade_weights

PLAIN: dict[str, Any] = {
    "weights": "none", "exponent": 0.5, "beta": 0.999, "sampling": "natural", "weights_and_sampling": False,
}  # fmt: skip


def balance(**changes: Any) -> Balance:
    return validate(PLAIN | changes, Balance, where="training.balance")


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200),
    st.sampled_from(["none", "exponent", "effective_number"]),
    st.floats(0, 1),
    st.floats(0, 0.9999),
)
def test_weights_have_mean_one_and_follow_the_formula(
    grades: list[int], weights: str, exponent: float, beta: float
) -> None:
    found = grade_weights(grades, balance(weights=weights, exponent=exponent, beta=beta)).numpy()
    counts = np.bincount(grades, minlength=5)
    assert np.isclose((found * counts).sum() / counts.sum(), 1.0, atol=1e-5)
    assert (found[counts == 0] == 0).all()
    formula = {
        "none": lambda n: 1.0,
        "exponent": lambda n: n**-exponent,
        "effective_number": lambda n: 1 / sum(beta**power for power in range(n)),  # the geometric series
    }[weights]
    present = np.flatnonzero(counts)
    expected = np.array([formula(int(counts[grade])) for grade in present])
    assert np.allclose(found[present] / found[present[0]], expected / expected[0], rtol=1e-4)


def test_rare_grades_weigh_more() -> None:
    grades = [0] * 60 + [1] * 20 + [2] * 12 + [3] * 6 + [4] * 2
    for weights in ("exponent", "effective_number"):
        assert (grade_weights(grades, balance(weights=weights, beta=0.9)).diff() > 0).all()
    assert grade_weights(grades, balance()).tolist() == [1.0] * 5
    inverse = grade_weights(grades, balance(weights="exponent", exponent=1.0)).numpy()
    assert np.allclose(inverse * np.bincount(grades), 20)  # all grades count alike


@pytest.mark.parametrize(("grades", "named"), [([], "no photograph"), ([0, 5], "5"), ([-1, 2], "-1")])
def test_grades_that_cannot_be_weighed_are_an_error(grades: list[int], named: str) -> None:
    with pytest.raises(DataError, match=named):
        grade_weights(grades, balance(weights="exponent"))


@pytest.mark.parametrize("weights", ["exponent", "effective_number"])
@pytest.mark.parametrize("sampling", ["balanced", "decaying"])
def test_weights_and_sampler_together_are_refused_unless_asked_for(weights: str, sampling: str) -> None:
    with pytest.raises(ParamsError, match="both make up for rare grades") as raised:
        balance(weights=weights, sampling=sampling)
    assert raised.value.where == "training.balance"
    assert "value error" not in raised.value.what
    both = balance(weights=weights, sampling=sampling, weights_and_sampling=True)
    assert (both.weights, both.sampling) == (weights, sampling)


@pytest.mark.parametrize("changes", [{"sampling": "balanced"}, {"weights": "exponent"}, {}])
def test_one_of_the_two_needs_no_permission(changes: dict[str, str]) -> None:
    assert balance(**changes).weights_and_sampling is False
