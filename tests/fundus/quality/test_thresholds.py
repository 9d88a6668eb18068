import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.fundus.quality.thresholds import (
    LOW_SCORE,
    MIN_SITE_PHOTOGRAPHS,
    Gradability,
    capped_threshold,
    fit_gradability,
)
from dr_pipeline.schema import Status

SCORED, UNGRADABLE = Status.SCORED, Status.UNGRADABLE
MEMBERS = st.lists(st.tuples(st.sampled_from([SCORED, UNGRADABLE, Status.FAILED]), st.floats(0, 1)), max_size=80)


@given(MEMBERS, st.floats(0, 1), st.floats(0, 1))
def test_the_threshold_respects_the_cap_or_rejects_nothing(
    members: list[tuple[Status, float]], wish: float, cap: float
) -> None:
    threshold = capped_threshold(members, wish, cap)
    by_threshold = sum(status is SCORED and score < threshold for status, score in members)
    others = sum(status is not SCORED for status, _ in members)
    assert 0 <= threshold <= wish
    assert by_threshold == 0 or by_threshold + others <= cap * len(members) + 1e-6


@given(MEMBERS, st.floats(0.01, 1), st.floats(0, 1))
def test_the_threshold_is_the_highest_under_the_cap(
    members: list[tuple[Status, float]], wish: float, cap: float
) -> None:
    threshold = capped_threshold(members, wish, cap)
    if threshold < wish:
        more = math.nextafter(threshold, 2)
        rejected = sum(status is not SCORED or score < more for status, score in members)
        assert rejected > cap * len(members) - 1e-6


def test_a_site_of_hazy_photographs_gets_its_own_threshold_and_a_small_one_that_of_all() -> None:
    clear = [("A", SCORED, 0.5 + number / 1000) for number in range(100)]
    hazy = [("B", SCORED, number / 1000) for number in range(100)]
    few = [("C", SCORED, 0.05)] * (MIN_SITE_PHOTOGRAPHS - 1)
    fitted = fit_gradability([*clear, *hazy, *few], min_score=0.2, max_rejected_share=0.1, fitted_on={"split": "d"})
    assert fitted.sites == {"A": 0.2, "B": pytest.approx(0.01)}
    assert fitted.apply(SCORED, 0.009, site="B") == (UNGRADABLE, LOW_SCORE)
    assert fitted.apply(SCORED, 0.01, site="B") == (SCORED, "")
    assert fitted.threshold("C") == fitted.threshold("") == fitted.default
    assert fitted.apply(Status.NOT_FUNDUS, 0.0, site="A") == (Status.NOT_FUNDUS, "")


def test_the_order_of_photographs_does_not_matter() -> None:
    rows = [("A", SCORED, (number * 7919 % 100) / 100) for number in range(100)]
    first, second = (
        fit_gradability(order, min_score=0.3, max_rejected_share=0.2, fitted_on={}) for order in (rows, rows[::-1])
    )
    assert first == second


def test_thresholds_survive_json_and_refuse_nonsense() -> None:
    fitted = Gradability(0.1, 0.2, 0.05, {"A": 0.01}, {"split": "development"})
    assert Gradability.from_dict(fitted.to_dict()) == fitted
    for key, value in (("default", 1.5), ("default", float("nan")), ("sites", {"A": "x"}), ("sites", 3)):
        with pytest.raises(BundleError, match="gradability"):
            Gradability.from_dict(fitted.to_dict() | {key: value})
    with pytest.raises(BundleError, match="keys"):
        Gradability.from_dict({"default": 0.1})


def test_an_unknown_site_is_an_error_that_names_the_known_ones() -> None:
    fitted = Gradability(0.1, 0.2, 0.05, {"Clinic A": 0.01})
    fitted.require_site("")
    fitted.require_site("Clinic A")
    with pytest.raises(DataError, match="Clinic A"):
        fitted.require_site("clinic a")
