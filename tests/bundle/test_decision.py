"""A decision decides as its contract says, each photograph on its own, and refuses to be nonsense."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.bundle.decision import Decision, distance_to_cut, softmax
from dr_pipeline.errors import BundleError

FITTED_ON = {"split": "validation", "splits_sha256": "0" * 64, "fold": "0"}
DECISION = Decision(1.5, (0.4, 1.3, 2.6, 3.4), 0.3, 0.1, FITTED_ON)
FINITE = st.floats(-30, 30, width=32)


def test_apply_by_hand() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.4, 0.2, 0.1], [0.9, 0.025, 0.025, 0.025, 0.025]]))
    decided = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.69, 0.3, FITTED_ON).apply(logits)
    assert decided.probabilities[0] == pytest.approx([0.1, 0.2, 0.4, 0.2, 0.1])
    assert decided.expected_grade == pytest.approx([2.0, 0.25])
    assert decided.grade.tolist() == [2, 0]
    assert decided.referable_probability == pytest.approx([0.7, 0.075])
    assert decided.referable.tolist() == [True, False]
    assert decided.vision_threatening.tolist() == [False, False]
    assert decided.needs_human.tolist() == [False, True]


def test_referable_probability_follows_the_expected_grade() -> None:
    # P(grade ≥ 2) as a sum calls the second photograph more severe, the expected grade the first
    logits = np.log(np.array([[0.02, 0.5, 0.02, 0.02, 0.44], [0.4, 0.05, 0.5, 0.03, 0.02]]))
    by_sum = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.5, 0.1, FITTED_ON)
    by_curve = replace(by_sum, referable_curve=(2.0, -3.0))
    assert by_sum.apply(logits).referable_probability == pytest.approx([0.48, 0.55])
    assert by_curve.apply(logits).expected_grade == pytest.approx([2.36, 1.22])
    assert by_curve.apply(logits).referable_probability == pytest.approx(1 / (1 + np.exp([-1.72, 0.56])))
    assert by_curve.apply(logits).referable.tolist() == [True, False]


def test_a_referable_curve_rises() -> None:
    with pytest.raises(BundleError, match="slope"):
        replace(DECISION, referable_curve=(0.0, 1.0))


@pytest.mark.parametrize("curve", [None, (2.5, -4.0)])
def test_what_is_written_is_read(curve: tuple[float, float] | None) -> None:
    decision = replace(DECISION, referable_curve=curve, severity_temperature=2.0)
    assert Decision.from_dict(json.loads(json.dumps(decision.to_dict()))) == decision


@given(st.lists(st.tuples(*[FINITE] * 5), min_size=1, max_size=20))
def test_one_photograph_does_not_change_another(rows: list[tuple[float, ...]]) -> None:
    logits = np.array(rows, dtype=np.float32)
    together = DECISION.apply(logits)
    for row in range(len(rows)):
        alone = DECISION.apply(logits[row : row + 1])
        for name, values in vars(together).items():
            assert (vars(alone)[name][0] == values[row]).all(), name
    assert together.probabilities.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    assert (together.grade >= 3).tolist() == together.vision_threatening.tolist()
    assert ((together.referable_probability >= 0) & (together.referable_probability <= 1)).all()


def test_a_grade_begins_at_its_cut_point() -> None:
    logits = np.zeros((1, 5))  # expected grade 2 exactly
    assert Decision(1.0, (0.5, 1.5, 2.0, 3.5), 0.5, 0.0, FITTED_ON).apply(logits).grade[0] == 3
    assert not Decision(1.0, (0.5, 1.5, 2.0, 3.5), 0.5, 0.0, FITTED_ON).apply(logits).needs_human[0]


def test_temperature_softens() -> None:
    logits = np.array([[0.0, 0.0, 4.0, 0.0, 0.0]])
    sharp = Decision(0.5, DECISION.cut_points, 0.5, 0.0, FITTED_ON).apply(logits).probabilities[0, 2]
    soft = Decision(4.0, DECISION.cut_points, 0.5, 0.0, FITTED_ON).apply(logits).probabilities[0, 2]
    assert sharp > 0.99
    assert soft < 0.5


@pytest.mark.parametrize("logits", [np.zeros(5), np.zeros((2, 4)), np.array([[0, 0, np.nan, 0, 0]])])
def test_wrong_logits_are_refused(logits: np.ndarray) -> None:
    with pytest.raises(ValueError):
        DECISION.apply(logits)


def test_round_trip() -> None:
    assert Decision.from_dict(DECISION.to_dict()) == DECISION


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": "warm"},
        {"cut_points": [0.5, 1.5, 2.5]},
        {"cut_points": [0.5, 2.5, 1.5, 3.5]},
        {"cut_points": [0.5, 1.5, 2.5, float("inf")]},
        {"cut_points": None},
        {"referable_threshold": 1.2},
        {"review_margin": -0.1},
        {"fitted_on": "validation"},
        {"surplus": 1},
    ],
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        Decision.from_dict(DECISION.to_dict() | change)


def test_missing_key_is_refused() -> None:
    value = DECISION.to_dict()
    del value["cut_points"]
    with pytest.raises(BundleError, match="cut_points"):
        Decision.from_dict(value)


def test_softmax_of_large_logits_and_distance() -> None:
    assert softmax(np.array([[1000.0, 0.0]])).tolist() == [[1.0, 0.0]]
    assert distance_to_cut(np.array([1.0, 3.9]), np.array([0.5, 1.6, 2.5, 3.5])) == pytest.approx([0.5, 0.4])
