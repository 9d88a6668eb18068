"""The order of a review: groups first, then uncertainty; known answers and properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.clinic.review.order import GROUP_TEXTS, Group, rank, uncertainty
from dr_pipeline.errors import DataError
from dr_pipeline.schema import Status
from tests.factories.review_pages import prediction

SHARES = st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda shares: sum(shares) > 1e-6)


def test_uncertainty_of_known_probabilities() -> None:
    assert uncertainty((1, 0, 0, 0, 0)) == 0
    assert uncertainty((0.2,) * 5) == pytest.approx(1)
    assert uncertainty((0.5, 0.5, 0, 0, 0)) == pytest.approx(math.log(2) / math.log(5))


@given(SHARES)
def test_uncertainty_lies_between_0_and_1_whatever_the_grades_order(shares: list[float]) -> None:
    probabilities = [share / sum(shares) for share in shares]
    assert 0 <= uncertainty(probabilities) <= 1
    assert uncertainty(probabilities) == pytest.approx(uncertainty(probabilities[::-1]))


@pytest.mark.parametrize(
    "wrong", [(0.5, 0.2, 0.1, 0.1, 0.0), (float("nan"),) * 5, (-0.1, 0.5, 0.2, 0.2, 0.2), (1.2, 0, 0, 0, 0)]
)
def test_what_is_no_probability_is_refused_with_its_row(wrong: tuple[float, ...]) -> None:
    rows = [prediction("a", grade=1), prediction("Doe", grade=1, probabilities=wrong)]
    with pytest.raises(DataError, match=r"add up to 1\n  where: p.csv, photograph 2\n"):
        rank(rows, where="p.csv")


def test_groups_come_in_their_order_and_the_most_uncertain_first() -> None:
    rows = [
        prediction("failed", status=Status.FAILED, quality=None),
        prediction("certain", grade=0, top=0.99),
        prediction("asks", grade=2, top=0.9, needs_human=True),
        prediction("again", grade=2, top=0.3, needs_human=True, duplicate_of="asks"),
        prediction("blurred", quality=0.1),
        prediction("nearly", quality=0.3),
        prediction("unmeasured", quality=None),
        prediction("form", status=Status.NOT_FUNDUS),
        prediction("asks-loudly", grade=2, top=0.4, needs_human=True),
        prediction("unsure", grade=0, top=0.6),
    ]
    ranked = rank(rows, where="p.csv")
    assert [item.row.image_id for item in ranked] == [
        *("asks-loudly", "asks", "nearly", "blurred", "unmeasured", "unsure", "certain", "form", "failed", "again"),
    ]
    assert {item.row.image_id: item.number for item in ranked}["unsure"] == 10
    assert set(GROUP_TEXTS) == set(Group)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.21, 1), st.booleans()), max_size=30))
def test_every_row_is_there_once_and_ties_keep_the_tables_order(drawn: list[tuple[int, float, bool]]) -> None:
    rows = [
        prediction(f"{number}", grade=grade, top=round(top, 1), needs_human=asks)
        for number, (grade, top, asks) in enumerate(drawn)
    ]
    ranked = rank(rows, where="p.csv")
    assert sorted(item.number for item in ranked) == list(range(1, len(rows) + 1))
    keys = [(item.group, -(item.uncertainty or 0), item.number) for item in ranked]
    assert keys == sorted(keys)
