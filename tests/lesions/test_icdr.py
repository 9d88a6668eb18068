"""The rules of the ICDR scale on known counts; adding a lesion never lowers a grade."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.lesions.icdr import Agreement, Counts, Opinion, agreement, second_opinion
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.quadrants import QUADRANTS

LESIONS = tuple(kind.name for kind in KINDS if kind.is_lesion)
IDRID = ("microaneurysms", "hemorrhages", "hard_exudates", "cotton_wool_spots")


def counts(*, kinds: tuple[str, ...] = LESIONS, quadrants: bool = True, **numbers: Any) -> Counts:
    """Counts of these lesions; a tuple is a number for each quadrant."""
    spread = {kind: numbers.get(kind, 0) for kind in kinds}
    spread = {kind: value if isinstance(value, tuple) else (value, 0, 0, 0) for kind, value in spread.items()}
    by_quadrant = {kind: dict(zip(QUADRANTS, value, strict=True)) for kind, value in spread.items()}
    return Counts({kind: sum(value) for kind, value in spread.items()}, by_quadrant if quadrants else None)


@pytest.mark.parametrize(
    ("numbers", "grade", "evidence"),
    [
        ({}, 0, "no lesion found"),
        ({"microaneurysms": 5}, 1, "only microaneurysms (5)"),
        ({"hemorrhages": 1}, 2, "hemorrhages (1), short of the 4-2-1 rule"),
        ({"microaneurysms": 3, "hard_exudates": 2}, 2, "hard exudates (2)"),
        ({"cotton_wool_spots": 1}, 2, "cotton wool spots (1)"),
        ({"hemorrhages": (20, 40, 40, 40)}, 2, "short of the 4-2-1 rule"),
        ({"hemorrhages": (21, 22, 23, 24)}, 3, "more than 20 hemorrhages in each of 4 quadrants (21, 22, 23, 24)"),
        ({"venous_beading": (9, 0, 0, 0)}, 2, "venous beading (9), short"),
        ({"venous_beading": (1, 0, 0, 1)}, 3, "venous beading in 2 quadrants"),
        ({"irma": 1}, 3, "IRMA (1)"),
        ({"new_vessels": 1, "hemorrhages": (21, 21, 21, 21)}, 4, "new vessels (1)"),
        ({"preretinal_hemorrhages": 1}, 4, "preretinal hemorrhages (1)"),
        ({"fibrous_tissue": 1}, 4, "fibrous tissue (1)"),
    ],
)
def test_known_answers(numbers: dict[str, Any], grade: int, evidence: str) -> None:
    opinion = second_opinion(counts(**numbers))
    assert (opinion.low, opinion.high, opinion.limits) == (grade, grade, ())
    assert evidence in opinion.evidence


@pytest.mark.parametrize(
    ("kinds", "quadrants", "numbers", "low", "high", "limits"),
    [
        (IDRID, True, {}, 0, 0, ""),
        (IDRID, True, {"microaneurysms": 4}, 1, 1, ""),
        (
            IDRID,
            True,
            {"hemorrhages": 4},
            2,
            4,
            "does not look for venous beading, IRMA; does not look for new vessels",
        ),
        (IDRID, True, {"hemorrhages": (21, 21, 21, 21)}, 3, 4, "does not look for new vessels"),
        (("microaneurysms",), True, {"microaneurysms": 4}, 1, 4, "does not look for hemorrhages"),
        (("hard_exudates",), True, {}, 0, 4, "does not look for microaneurysms"),
        (LESIONS, False, {"hemorrhages": 83}, 2, 2, ""),
        (LESIONS, False, {"hemorrhages": 84}, 2, 3, "has no quadrants"),
        (LESIONS, False, {"venous_beading": 2}, 2, 3, "has no quadrants"),
        (LESIONS, False, {"irma": 1}, 3, 3, ""),
        ((*IDRID, "venous_beading", "irma"), True, {"hemorrhages": 2}, 2, 4, "does not look for new vessels"),
    ],
)
def test_what_is_not_looked_for_leaves_an_interval(
    kinds: tuple[str, ...], quadrants: bool, numbers: dict[str, Any], low: int, high: int, limits: str
) -> None:
    opinion = second_opinion(counts(kinds=kinds, quadrants=quadrants, **numbers))
    assert (opinion.low, opinion.high) == (low, high)
    assert limits in "; ".join(opinion.limits)
    assert bool(opinion.limits) == (low != high)


numbers = st.fixed_dictionaries({kind: st.tuples(*[st.one_of(st.just(0), st.integers(0, 30))] * 4) for kind in LESIONS})


@given(
    numbers=numbers,
    kinds=st.sets(st.sampled_from(LESIONS), min_size=1),
    more=st.sampled_from(LESIONS),
    where=st.integers(0, 3),
    quadrants=st.booleans(),
)
def test_adding_a_lesion_never_lowers_a_grade(
    numbers: dict[str, tuple[int, ...]], kinds: set[str], more: str, where: int, quadrants: bool
) -> None:
    added = list(numbers[more])
    added[where] += 1
    settings = {"kinds": tuple(kind for kind in LESIONS if kind in kinds), "quadrants": quadrants}
    before = second_opinion(counts(**settings, **numbers))
    after = second_opinion(counts(**settings, **numbers | {more: tuple(added)}))
    assert before.low <= after.low
    assert before.high <= after.high
    assert after.low <= after.high


@given(numbers=numbers, missing=st.sampled_from(LESIONS))
def test_the_interval_holds_the_grade_of_all_kinds_where_something_referable_is_seen(
    numbers: dict[str, tuple[int, ...]], missing: str
) -> None:
    whole = second_opinion(counts(**numbers))
    known = tuple(kind for kind in LESIONS if kind not in (missing, "fibrous_tissue"))
    part = second_opinion(counts(kinds=known, **numbers))
    assert part.low <= whole.low
    if part.low >= 2 and missing not in ("hemorrhages", "venous_beading") and not sum(numbers["fibrous_tissue"]):
        assert whole.low <= part.high


def test_agreement_with_a_network() -> None:
    opinion = second_opinion(counts(hemorrhages=3))
    assert agreement(opinion, grade=2, referable=True) is Agreement.AGREES
    assert agreement(opinion, grade=3, referable=True) is Agreement.GRADE
    assert agreement(opinion, grade=1, referable=False) is Agreement.REFERABLE
    assert agreement(opinion, grade=1, referable=True) is Agreement.GRADE
    healthy = second_opinion(counts())
    assert agreement(healthy, grade=0, referable=False) is Agreement.AGREES
    assert agreement(healthy, grade=2, referable=True) is Agreement.REFERABLE
    open_one = second_opinion(counts(kinds=("microaneurysms",)))
    assert all(agreement(open_one, grade=grade, referable=grade >= 2) is Agreement.AGREES for grade in range(5))


def test_text() -> None:
    def text(**numbers: Any) -> str:
        opinion: Opinion = second_opinion(counts(**numbers))
        return opinion.to_text()

    assert text(microaneurysms=2) == "grade 1: only microaneurysms (2)"
    assert text(kinds=IDRID, hemorrhages=(21, 21, 21, 21)).startswith("grade 3 (4 not excluded): more than 20")
    assert text(kinds=IDRID, hemorrhages=2).startswith("grade 2 (3 to 4 not excluded): hemorrhages (2)")
