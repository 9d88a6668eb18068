"""The gates refuse what they must."""

from collections import Counter
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import write_csv
from dr_pipeline.schema import SPLITS_COLUMNS, Split
from dr_pipeline.splitting.grade_balance import grade_test
from dr_pipeline.splitting.leakage import (
    require_alike,
    require_every_grade,
    require_nothing_shared,
    shared_between_parts,
)
from dr_pipeline.splitting.read import SplitRow, part, read_splits

CLEAN = [
    SplitRow("a", "p", "", "patient:p", 0, "test", None),
    SplitRow("b", "p", "", "patient:p", 1, "test", None),
    SplitRow("c", "", "k", "photograph:c", 2, "development", 0),
    SplitRow("d", "", "k", "photograph:c", 2, "development", 0),
    SplitRow("e", "q", "", "patient:q", 2, "development", 1),
]

ALWAYS_TRAIN = SplitRow("t", "r", "", "patient:r", 2, "development", None)


def test_clean_split_shares_nothing() -> None:
    assert set(require_nothing_shared(CLEAN).values()) == {0}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (SplitRow("f", "p", "", "x", 0, "development", 0), "patient"),
        (SplitRow("f", "", "k", "x", 0, "test", None), "duplicate cluster"),
        (SplitRow("f", "", "k", "x", 0, "development", 1), "duplicate cluster"),
        (SplitRow("f", "z", "", "patient:q", 0, "development", 0), "group"),
        (SplitRow("f", "", "k", "x", 0, "development", None), "duplicate cluster"),
        (SplitRow("e", "", "", "x", 0, "test", None), "photograph"),
    ],
)
def test_planted_leak_is_found(row: SplitRow, kind: str) -> None:
    assert [found for found, names in shared_between_parts([*CLEAN, row]).items() if names] == [kind]
    with pytest.raises(GateError, match=rf"{kind}\(s\) .*, a photograph of each: [a-f]\n"):
        require_nothing_shared([*CLEAN, row])


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
    require_alike(grade_test(alike))
    with pytest.raises(GateError, match="differ in grade"):
        require_alike(grade_test(alike | {"train": Counter({0: 10, 4: 60})}))


def test_parts_of_a_fold() -> None:
    names = {split: [row.image_id for row in part(CLEAN, split, 0)] for split in Split}
    assert names == {Split.TRAIN: ["e"], Split.VALIDATION: ["c", "d"], Split.TEST: ["a", "b"]}
    assert [row.image_id for row in part([*CLEAN, ALWAYS_TRAIN], Split.TRAIN, 0)] == ["e", "t"]
    assert ALWAYS_TRAIN.part == "train"
    with pytest.raises(DataError, match="no fold 2"):
        part(CLEAN, Split.TRAIN, 2)
    with pytest.raises(DataError, match="test part is empty"):
        part(CLEAN[2:], Split.TEST, 0)


@pytest.mark.parametrize(
    ("column", "value"), [("fold", "x"), ("split", "train"), ("split", "test"), ("grade", "5"), ("schema_version", "9")]
)
def test_impossible_row_is_refused(tmp_path: Path, column: str, value: str) -> None:
    row = dict.fromkeys(SPLITS_COLUMNS, "") | {"schema_version": "2", "image_id": "a", "group": "g", "eye": "left"}
    row |= {"grade": "1", "split": "development", "fold": "0", "site": "hill"}
    write_csv(tmp_path / "s.csv", SPLITS_COLUMNS, [row])
    assert read_splits(tmp_path / "s.csv") == [SplitRow("a", "", "", "g", 1, "development", 0, "left", "hill")]
    write_csv(tmp_path / "s.csv", SPLITS_COLUMNS, [row | {column: value}])
    with pytest.raises(DataError):
        read_splits(tmp_path / "s.csv")
