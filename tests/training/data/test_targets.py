"""Targets: the grade, or the distribution of the readers; weights of rare grades."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.section import validate
from dr_pipeline.params.training import Balance
from dr_pipeline.tables.readings import ReadingRow, read_readings
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.data.targets import grade_weights, readings_by_photograph, training_targets


def row(image_id: str, grade: int) -> SplitRow:
    return SplitRow(image_id=image_id, group=image_id, grade=grade, split="development", fold=1)


ROWS = [row("a", 2), row("b", 0)]


def test_without_agreement_a_target_is_the_grade() -> None:
    targets = training_targets(ROWS, {"a": [2, 3]}, agreement=0.0, soft=False)
    assert targets.dtype == torch.int64
    assert targets.tolist() == [2, 0]
    soft = training_targets(ROWS, {"a": [2, 3]}, agreement=0.0, soft=True)
    assert soft.dtype == torch.float32
    assert soft.tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]


def test_agreement_weights_the_readings() -> None:
    targets = training_targets(ROWS, {"a": [2, 2, 3, 4]}, agreement=0.4, soft=False)
    assert torch.allclose(targets[0], torch.tensor([0, 0, 0.6 + 0.2, 0.1, 0.1]))
    assert targets[1].tolist() == [1, 0, 0, 0, 0]  # read once


def test_a_single_reading_does_not_change_the_grade() -> None:
    targets = training_targets(ROWS, {"a": [2, 3], "b": [4]}, agreement=1.0, soft=False)
    assert targets[1].tolist() == [1, 0, 0, 0, 0]


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=8),
    st.floats(0.01, 1),
    st.booleans(),
)
def test_every_target_is_a_distribution(readings: list[list[int]], agreement: float, soft: bool) -> None:
    rows = [row(str(number), sorted(given)[len(given) // 2]) for number, given in enumerate(readings)]
    by_id = {str(number): given for number, given in enumerate(readings)} | {"elsewhere": [0, 1]}
    targets = training_targets(rows, by_id, agreement=agreement, soft=soft)
    assert targets.shape == (len(rows), 5)
    assert torch.allclose(targets.sum(1), torch.ones(len(rows)), atol=1e-5)
    for own, target in zip(readings, targets, strict=True):
        assert set(target.nonzero().flatten().tolist()) <= set(own)


@pytest.mark.parametrize("readings", [{}, {"a": [2]}])
def test_agreement_without_readings_is_refused(readings: dict[str, list[int]]) -> None:
    with pytest.raises(ParamsError, match=r"reader_agreement is 0\.3") as caught:
        training_targets(ROWS, readings, agreement=0.3, soft=True)
    assert "columns.grader" in caught.value.todo


def test_readings_are_grouped_by_photograph() -> None:
    rows = [ReadingRow(image_id=i, grader=g, grade=k) for i, g, k in (("a", "x", 2), ("b", "x", 0), ("a", "y", 3))]
    assert readings_by_photograph(rows) == {"a": [2, 3], "b": [0]}
    assert readings_by_photograph([]) == {}


@pytest.mark.parametrize("grade", ["5", "", "-1", "2.5", "²"])
def test_a_reading_that_is_no_grade_is_refused(tmp_path: Path, grade: str) -> None:
    path = tmp_path / "readings.csv"
    path.write_text(f"schema_version,image_id,grader,grade\n1,a,x,2\n1,a,y,{grade}\n")
    with pytest.raises(DataError, match="is not") as caught:
        read_readings(path)
    assert "row 3, column 'grade'" in caught.value.where


def test_readings_of_another_version_or_no_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text("schema_version,image_id,grader,grade\n9,a,x,2\n")
    with pytest.raises(DataError, match="schema_version"):
        read_readings(path)
    with pytest.raises(DataError, match="missing"):
        read_readings(tmp_path / "absent.csv")


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


def test_rare_grades_have_larger_weights() -> None:
    grades = [0] * 60 + [1] * 20 + [2] * 12 + [3] * 6 + [4] * 2
    for weights in ("exponent", "effective_number"):
        assert (grade_weights(grades, balance(weights=weights, beta=0.9)).diff() > 0).all()
    assert grade_weights(grades, balance()).tolist() == [1.0] * 5
    inverse = grade_weights(grades, balance(weights="exponent", exponent=1.0)).numpy()
    assert np.allclose(inverse * np.bincount(grades), 20)  # all grades count alike


@pytest.mark.parametrize(("grades", "named"), [([], "no photograph"), ([0, 5], "5"), ([-1, 2], "-1")])
def test_grades_out_of_range_and_no_grades_are_refused(grades: list[int], named: str) -> None:
    with pytest.raises(DataError, match=named):
        grade_weights(grades, balance(weights="exponent"))


@pytest.mark.parametrize("weights", ["exponent", "effective_number"])
@pytest.mark.parametrize("sampling", ["balanced", "decaying"])
def test_weights_and_sampling_together_need_the_explicit_option(weights: str, sampling: str) -> None:
    with pytest.raises(ParamsError, match="both compensate for rare grades") as raised:
        balance(weights=weights, sampling=sampling)
    assert raised.value.where == "training.balance"
    assert "value error" not in raised.value.what
    both = balance(weights=weights, sampling=sampling, weights_and_sampling=True)
    assert (both.weights, both.sampling) == (weights, sampling)


@pytest.mark.parametrize("changes", [{"sampling": "balanced"}, {"weights": "exponent"}, {}])
def test_one_of_the_two_needs_no_option(changes: dict[str, str]) -> None:
    assert balance(**changes).weights_and_sampling is False
