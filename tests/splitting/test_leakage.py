"""The gates refuse what they must."""

from collections import Counter
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.schema import Split
from dr_pipeline.splitting.grade_balance import grade_test
from dr_pipeline.splitting.leakage import (
    require_both_classes,
    require_every_grade,
    require_nothing_shared,
    require_similar_grades,
    require_validation_groups,
    shared_between_parts,
)
from dr_pipeline.tables.splits import SPLITS, SplitRow, read_splits, select_split
from tests.factories.csv_files import write_csv

CLEAN = [
    SplitRow(image_id="a", patient_id="p", group="patient:p", grade=0, split="test"),
    SplitRow(image_id="b", patient_id="p", group="patient:p", grade=1, split="test"),
    SplitRow(image_id="c", duplicate_cluster="k", group="photograph:c", grade=2, split="development", fold=0),
    SplitRow(image_id="d", duplicate_cluster="k", group="photograph:c", grade=2, split="development", fold=0),
    SplitRow(
        image_id="e", patient_id="q", duplicate_cluster="", group="patient:q", grade=2, split="development", fold=1
    ),
]

ALWAYS_TRAIN = SplitRow(image_id="t", patient_id="r", group="patient:r", grade=2, split="development", fold=None)


def test_clean_split_shares_nothing() -> None:
    assert set(require_nothing_shared(CLEAN, {}).values()) == {0}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (
            SplitRow(
                image_id="f", patient_id="p", duplicate_cluster="", group="x", grade=0, split="development", fold=0
            ),
            "patient",
        ),
        (
            SplitRow(image_id="f", duplicate_cluster="k", group="x", grade=0, split="test"),
            "duplicate cluster",
        ),
        (
            SplitRow(image_id="f", duplicate_cluster="k", group="x", grade=0, split="development", fold=1),
            "duplicate cluster",
        ),
        (
            SplitRow(
                image_id="f",
                patient_id="z",
                duplicate_cluster="",
                group="patient:q",
                grade=0,
                split="development",
                fold=0,
            ),
            "group",
        ),
        (
            SplitRow(image_id="f", duplicate_cluster="k", group="x", grade=0, split="development", fold=None),
            "duplicate cluster",
        ),
        (
            SplitRow(image_id="e", group="x", grade=0, split="test"),
            "photograph",
        ),
    ],
)
def test_planted_leak_is_found(row: SplitRow, kind: str) -> None:
    assert [name for name, shared in shared_between_parts([*CLEAN, row], {}).items() if shared] == [kind]
    with pytest.raises(GateError, match=rf"{kind}\(s\) .*, a photograph of each: [a-f]\n"):
        require_nothing_shared([*CLEAN, row], {})


def test_an_eye_in_two_parts_is_found() -> None:
    eyes = {"a": "a", "c": "a", "d": "d"}
    shared = shared_between_parts(CLEAN, eyes)
    assert {kind: names for kind, names in shared.items() if names} == {"eye": ["a"]}
    with pytest.raises(
        GateError, match=r"1 eye\(s\) are in more than one part of the split, a photograph of each: a\n"
    ):
        require_nothing_shared(CLEAN, eyes)
    assert require_nothing_shared(CLEAN, {"a": "a", "b": "a"})["eye"] == 0


def test_grade_missing_from_a_part_stops() -> None:
    whole = {part: Counter({0: 2, 4: 1}) for part in ("test", "0", "1")}
    # Grades 1, 2 and 3 are absent from all the data: no reason to stop.
    require_every_grade(whole, ["0", "1"], drawn=True)
    with pytest.raises(GateError, match=r"grade 4 .* missing from: test"):
        require_every_grade(whole | {"test": Counter({0: 2})}, ["0", "1"], drawn=True)
    with pytest.raises(GateError, match=r"missing from: train of fold 0, validation of fold 1"):
        require_every_grade(whole | {"1": Counter({0: 2})}, ["0", "1"], drawn=True)
    three = {part: Counter({0: 2, 4: 1}) for part in ("test", "0", "train")}
    require_every_grade(three, ["0"], drawn=False)
    with pytest.raises(GateError, match=r"missing from: train of fold 0\n.*\n.*hold out other split.test_sites"):
        require_every_grade(three | {"train": Counter({0: 2})}, ["0"], drawn=False)


def test_parts_that_differ_in_grade_stop() -> None:
    alike = {"test": Counter({0: 20, 4: 10}), "fold 0": Counter({0: 41, 4: 20})}
    require_similar_grades(grade_test(alike))
    with pytest.raises(GateError, match="differ in grade"):
        require_similar_grades(grade_test(alike | {"train": Counter({0: 10, 4: 60})}))


def test_parts_of_a_fold() -> None:
    names = {split: [row.image_id for row in select_split(CLEAN, split, 0)] for split in Split}
    assert names == {Split.TRAIN: ["e"], Split.VALIDATION: ["c", "d"], Split.TEST: ["a", "b"]}
    assert [row.image_id for row in select_split([*CLEAN, ALWAYS_TRAIN], Split.TRAIN, 0)] == ["e", "t"]
    assert ALWAYS_TRAIN.part == "train"
    with pytest.raises(DataError, match="no fold 2"):
        select_split(CLEAN, Split.TRAIN, 2)
    with pytest.raises(DataError, match="test part is empty"):
        select_split(CLEAN[2:], Split.TEST, 0)


@pytest.mark.parametrize(
    ("column", "value"), [("fold", "x"), ("split", "train"), ("split", "test"), ("grade", "5"), ("schema_version", "9")]
)
def test_impossible_row_is_refused(tmp_path: Path, column: str, value: str) -> None:
    row = dict.fromkeys(SPLITS.columns, "") | {"schema_version": "2", "image_id": "a", "group": "g", "eye": "left"}
    row |= {"grade": "1", "split": "development", "fold": "0", "site": "hill"}
    write_csv(tmp_path / "s.csv", SPLITS.columns, [row])
    assert read_splits(tmp_path / "s.csv") == [
        SplitRow(
            image_id="a",
            patient_id="",
            duplicate_cluster="",
            group="g",
            grade=1,
            split="development",
            fold=0,
            eye="left",
            site="hill",
        )
    ]
    write_csv(tmp_path / "s.csv", SPLITS.columns, [row | {column: value}])
    with pytest.raises(DataError):
        read_splits(tmp_path / "s.csv")


@pytest.mark.parametrize("grades", [[0, 1], [1], [0, 0, 1, 1]])
def test_labels_without_a_referable_photograph_are_refused(grades: list[int]) -> None:
    with pytest.raises(GateError, match="no photograph is referable") as error:
        require_both_classes(grades, where="audited.csv")
    assert "write 0 and 2 instead" in error.value.todo


@pytest.mark.parametrize("grades", [[2], [2, 3], [4, 4]])
def test_labels_that_are_all_referable_are_refused(grades: list[int]) -> None:
    with pytest.raises(GateError, match="every photograph is referable"):
        require_both_classes(grades, where="audited.csv")


@pytest.mark.parametrize("grades", [[0, 2], [0, 1, 2], [1, 4], [0, 1, 2, 3, 4]])
def test_labels_of_both_classes_are_accepted(grades: list[int]) -> None:
    require_both_classes(grades, where="audited.csv")


def test_a_fold_of_too_few_groups_is_refused() -> None:
    rows = [
        SplitRow(image_id=f"{fold}{number}", group=f"g{fold}{number}", grade=0, split="development", fold=fold)
        for fold in (0, 1)
        for number in range(3)
    ]
    require_validation_groups([*rows, ALWAYS_TRAIN])
    with pytest.raises(GateError, match=r"fold 1 has 2 group\(s\)"):
        require_validation_groups(rows[:-1])
