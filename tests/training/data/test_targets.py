"""Targets: the grade alone, or with the readers' distribution."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import write_csv
from dr_pipeline.schema import READINGS_COLUMNS, READINGS_VERSION
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.data.targets import read_readings, training_targets


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


def test_agreement_gives_the_readings_their_share() -> None:
    targets = training_targets(ROWS, {"a": [2, 2, 3, 4]}, agreement=0.4, soft=False)
    assert torch.allclose(targets[0], torch.tensor([0, 0, 0.6 + 0.2, 0.1, 0.1]))
    assert targets[1].tolist() == [1, 0, 0, 0, 0]  # read once


def test_one_reading_never_overrules_the_grade() -> None:
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


def written(path: Path, rows: list[tuple[str, str, object]], version: int = READINGS_VERSION) -> Path:
    write_csv(path, READINGS_COLUMNS, [dict(zip(READINGS_COLUMNS, (version, *cells), strict=True)) for cells in rows])
    return path


def test_readings_are_read_by_photograph(tmp_path: Path) -> None:
    path = written(tmp_path / "readings.csv", [("a", "x", 2), ("b", "x", 0), ("a", "y", 3)])
    assert read_readings(path) == {"a": [2, 3], "b": [0]}
    assert read_readings(written(tmp_path / "none.csv", [])) == {}


@pytest.mark.parametrize("grade", ["5", "", "-1", "2.5", "²"])
def test_a_reading_that_is_no_grade_is_refused(tmp_path: Path, grade: str) -> None:
    path = written(tmp_path / "readings.csv", [("a", "x", 2), ("a", "y", grade)])
    with pytest.raises(DataError, match="grades are 0, 1, 2, 3, 4") as caught:
        read_readings(path)
    assert caught.value.where.endswith("row 3")


def test_another_version_or_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="schema_version"):
        read_readings(written(tmp_path / "readings.csv", [("a", "x", 2)], version=9))
    with pytest.raises(DataError, match="missing"):
        read_readings(tmp_path / "absent.csv")
