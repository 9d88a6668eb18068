"""FROC: known answers, and properties that hold for any marks."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.metrics.froc import FALSE_MARKS, Marks, froc_curve, froc_difference, froc_figures


def marks_of(*pairs: tuple[float, int], num_lesions: int) -> Marks:
    return Marks(
        np.array([score for score, _ in pairs], np.float64), np.array([on for _, on in pairs], np.int64), num_lesions
    )


def figures(marks: list[Marks], **options: int) -> dict[str, Any]:
    groups = [str(number) for number in range(len(marks))]
    return froc_figures(marks, groups, replicates=options.get("replicates", 50), seed=1, confidence=0.95)


def test_a_drawn_example() -> None:
    # Four lesions on two photographs: found at 0.9 and 0.6; a false mark at 0.8 and one at 0.5.
    first = marks_of((0.9, 1), (0.8, 0), (0.3, 1), num_lesions=2)
    second = marks_of((0.6, 2), (0.5, 0), num_lesions=2)
    false, sensitivity = froc_curve([first, second])
    assert np.allclose(false, [0, 0, 0.5, 0.5, 1.0])
    assert np.allclose(sensitivity, [0, 0.25, 0.25, 0.5, 0.5])
    at = {row["false_marks"]: row["value"] for row in figures([first, second])["sensitivity"]}
    assert at == {1 / 8: 0.25, 1 / 4: 0.25, 1 / 2: 0.5, 1.0: 0.5, 2.0: 0.5, 4.0: 0.5, 8.0: 0.5}


def test_marks_of_one_score_are_taken_together() -> None:
    one = marks_of((0.5, 0), (0.5, 1), (0.5, 0), num_lesions=1)
    false, sensitivity = froc_curve([one])
    assert false.tolist() == [0, 2]
    assert sensitivity.tolist() == [0, 1]


def test_photographs_without_lesions_count_for_false_marks_only() -> None:
    found = marks_of((0.9, 1), num_lesions=1)
    empty = marks_of((0.95, 0), num_lesions=0)
    report = figures([found, empty])
    assert report["lesions"] == 1
    assert report["photographs"] == 2
    assert [row["value"] for row in report["sensitivity"]][:3] == [0, 0, 1]


def test_no_lesion_anywhere_is_undefined_not_zero() -> None:
    report = figures([marks_of((0.9, 0), num_lesions=0)])
    assert report["score"]["value"] is None


def test_no_marks_find_nothing() -> None:
    assert figures([marks_of(num_lesions=3)])["score"]["value"] == 0


@pytest.mark.parametrize("pair", [(0.5, 3), (0.5, -1), (float("nan"), 1)])
def test_wrong_marks_are_refused(pair: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match=r"lesion|finite"):
        marks_of(pair, num_lesions=2)
    with pytest.raises(ValueError, match="no photograph"):
        froc_curve([])


def test_a_difference_is_of_the_same_photographs_and_resamplings() -> None:
    rng = np.random.default_rng(0)
    several = [Marks(rng.random(6), rng.integers(0, 5, 6), 4) for _ in range(12)]
    better = [Marks(one.score + (one.lesion > 0), one.lesion, 4) for one in several]
    names = [str(number) for number in range(12)]
    same = froc_difference(several, several, names, replicates=50, seed=1, confidence=0.95)
    assert (same["score"]["value"], same["score"]["low"], same["score"]["high"]) == (0, 0, 0)
    more = froc_difference(better, several, names, replicates=50, seed=1, confidence=0.95)
    assert more["score"]["value"] == pytest.approx(
        figures(better)["score"]["value"] - figures(several)["score"]["value"], abs=1e-3
    )
    assert more["score"]["low"] > 0
    with pytest.raises(ValueError, match="same photographs"):
        froc_difference(several, several[:-1], names, replicates=50, seed=1, confidence=0.95)


@st.composite
def photographs(draw: st.DrawFn) -> list[Marks]:
    several = []
    for _ in range(draw(st.integers(1, 5))):
        lesions = draw(st.integers(0, 4))
        pairs = draw(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.integers(0, lesions))))
        several.append(marks_of(*pairs, num_lesions=lesions))
    return several


def by_definition(marks: list[Marks], rate: Fraction) -> float:
    """The highest sensitivity of any limit with at most `rate` false marks a photograph."""
    total = sum(photograph.num_lesions for photograph in marks)
    best = 0
    for limit in (0.1, 0.2, 0.5, 0.7, 0.9):
        false = sum(int(((p.score >= limit) & (p.lesion == 0)).sum()) for p in marks)
        found = sum(len(set(p.lesion[p.score >= limit].tolist()) - {0}) for p in marks)
        if false <= rate * len(marks):
            best = max(best, found)
    return best / total


@given(photographs())
def test_sensitivity_is_that_of_the_definition(marks: list[Marks]) -> None:
    rows = figures(marks, replicates=3)["sensitivity"]
    for row in rows:
        if sum(photograph.num_lesions for photograph in marks) == 0:
            assert row["value"] is None
        else:
            assert row["value"] == pytest.approx(by_definition(marks, Fraction(row["false_marks"])))
    assert [row["false_marks"] for row in rows] == list(FALSE_MARKS)


def test_the_interval_holds_the_figure_and_narrows_with_photographs() -> None:
    rng = np.random.default_rng(0)

    def sample(count: int) -> list[Marks]:
        result = []
        for _ in range(count):
            on = np.where(rng.random(12) < 0.5, rng.integers(1, 7, 12), 0)
            result.append(Marks(rng.random(12) + 0.3 * (on > 0), on, 6))
        return result

    widths = []
    for count in (10, 160):
        score = figures(sample(count), replicates=300)["score"]
        assert score["low"] <= score["value"] <= score["high"]
        widths.append(score["high"] - score["low"])
    assert widths[1] < widths[0] / 2
