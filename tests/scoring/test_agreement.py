"""How far two bundles agree: known answers, and what has no grade or no partner."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.schema import Status
from dr_pipeline.scoring.agreement import agreement_report, agreement_row, agreement_text, pair_rows
from dr_pipeline.tables.predictions import PredictionRow
from tests.factories.predictions import predictions

IDS = ("c" * 16, "d" * 16)


def table(*words: str) -> list[PredictionRow]:
    """Each text is one patient's photographs, in the notation of tests/factories/predictions.py."""
    return predictions([(f"P{number}", "", text) for number, text in enumerate(words)])[0]


def report(champion: Sequence[PredictionRow], challenger: Sequence[PredictionRow]) -> dict[str, object]:
    return agreement_report(list(pair_rows(champion, challenger)), bundle_ids=IDS)


def test_known_answers() -> None:
    figures = report(table("R0 L1", "R2 L3", "R4 Lu", "Rf Lu"), table("R0 L2", "R2 L1", "R4 L0", "Rf Lx"))
    assert figures["files"] == 8
    assert figures["graded_by_both"] == 5
    assert figures["groups"] == 3
    assert figures["qwk"]["value"] == pytest.approx(quadratic_weighted_kappa([0, 1, 2, 3, 4], [0, 2, 2, 1, 4]))  # type: ignore[index]
    grades, referrals = figures["changed_grades"], figures["changed_referrals"]
    assert (grades["value"], grades["n"], grades["up"], grades["down"], grades["by_more_than_one"]) == (0.4, 5, 1, 1, 1)  # type: ignore[index]
    assert 0 < grades["low"] < 0.4 < grades["high"] < 1  # type: ignore[index]
    assert (referrals["value"], referrals["up"], referrals["down"]) == (0.4, 1, 1)  # type: ignore[index]
    assert figures["statuses"] == {
        "scored": {"scored": 5},
        "ungradable": {"scored": 1, "not_fundus": 1},
        "failed": {"failed": 1},
    }
    text = agreement_text(figures)
    assert "changed grades 2, fraction 0.400" in text
    assert "changed referrals 2 (1 new, 1 no longer)" in text
    assert "2 with another status" in text


def test_a_file_that_changed_in_between_is_counted_and_not_compared() -> None:
    champion, challenger = table("R0 L1", "R2 L3"), table("R0 L4", "R2 L3")
    challenger = [replace(challenger[1], sha256="f" * 64), *challenger[2:]]  # the first is gone, the second is another
    pairs = list(pair_rows(champion, challenger))
    figures = agreement_report(pairs, bundle_ids=IDS)
    assert figures["not_compared"] == 2
    assert figures["graded_by_both"] == 2
    assert figures["changed_grades"]["value"] == 0
    rows = [agreement_row(pair, bundle_ids=IDS) for pair in pairs]
    assert [row.challenger_status for row in rows] == [None, None, Status.SCORED, Status.SCORED]
    assert [row.champion_grade for row in rows] == [0, 1, 2, 3]
    assert [row.challenger_grade for row in rows] == [None, None, 2, 3]
    assert "2 files changed between the two" in agreement_text(figures)


def test_nothing_in_common_is_undefined() -> None:
    figures = report(table("Ru"), table("R3"))
    assert figures["qwk"]["value"] is None  # type: ignore[index]
    assert figures["changed_grades"]["value"] is None  # type: ignore[index]
    assert "undefined (n = 0)" in agreement_text(figures)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_the_other_way_round_changes_the_direction_only(grades: list[tuple[int, int]]) -> None:
    one, other = (table(*(f"R{pair[side]}" for pair in grades)) for side in (0, 1))
    forth, back = report(one, other), report(other, one)
    assert forth["qwk"] == pytest.approx(back["qwk"], nan_ok=True)
    for name in ("changed_grades", "changed_referrals"):
        there, here = forth[name], back[name]
        assert (there["up"], there["down"], there["value"]) == (here["down"], here["up"], here["value"])  # type: ignore[index]
    assert forth["changed_grades"]["up"] + forth["changed_grades"]["down"] == sum(a != b for a, b in grades)  # type: ignore[index]
