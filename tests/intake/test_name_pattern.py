"""A clinic's file names: what the declared pattern matches is read, what it does not match is listed."""

from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.name_pattern import compile_pattern
from dr_pipeline.intake.records import Intake
from dr_pipeline.schema import Eye
from tests.factories.layouts import dataset, photographs, table

PATTERN = r"(?P<site>[^/]+)/(?P<patient>p\d+)_(?P<visit>\d{4})_(?P<eye>[A-Za-z]+)(?:_(?P<field>\d))?\."


def read(root: Path, pattern: str, **keywords: Any) -> Intake:
    return read_dataset(root, dataset("folder", pattern=pattern, **keywords))


def test_class_folders_with_names_that_match(tmp_path: Path) -> None:
    photographs(
        tmp_path, ["0/north/p1_2024_OD_2.jpg", "3/north/p1_2024_left.jpg", "4/x.jpg", "2/north/p2_2023_both.jpg"]
    )
    intake = read(tmp_path, PATTERN)
    found = {r.path: (r.grade, r.patient_id, r.eye, r.visit, r.field, r.site) for r in intake.records}
    assert found == {
        "0/north/p1_2024_OD_2.jpg": (0, "p1", Eye.RIGHT, "2024", "2", "north"),
        "3/north/p1_2024_left.jpg": (3, "p1", Eye.LEFT, "2024", "", "north"),
        "4/x.jpg": (4, "", Eye.UNKNOWN, "", "", ""),
        "2/north/p2_2023_both.jpg": (2, "", Eye.UNKNOWN, "", "", ""),  # "both" is no eye: nothing of it is taken
    }
    assert set(intake.unparsed) == {"4/x.jpg", "2/north/p2_2023_both.jpg"}


def test_the_tables_values_go_first_and_names_fill_the_gaps(tmp_path: Path) -> None:
    photographs(tmp_path, ["a/p1_2024_OS.jpg", "a/p2_2024_OD.jpg"])
    table(tmp_path / "l.csv", "image,grade,who,side", ["a/p1_2024_OS.jpg,1,p1,", "a/p2_2024_OD.jpg,2,,right"])
    intake = read(tmp_path, PATTERN, labels="l.csv", patient="who", eye="side")
    assert {(r.patient_id, r.eye, r.visit) for r in intake.records} == {
        ("p1", Eye.LEFT, "2024"),
        ("p2", Eye.RIGHT, "2024"),
    }
    assert intake.unparsed == ()


def test_a_table_and_a_name_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    photographs(tmp_path, ["a/p1_2024_OS.jpg", "a/p2_2024_OD.jpg"])
    table(tmp_path / "l.csv", "image,grade,who,side", ["a/p1_2024_OS.jpg,1,p9,right", "a/p2_2024_OD.jpg,2,p2,right"])
    with pytest.raises(DataError) as caught:
        read(tmp_path, PATTERN, labels="l.csv", patient="who", eye="side")
    message = str(caught.value)
    assert "a/p1_2024_OS.jpg: the patient differs" in message
    assert "p9" not in message
    assert "a/p1_2024_OS.jpg: eye 'right' in the table, 'left' in the name (2 in all)" in message


def test_the_official_part_may_be_a_folder_beside_a_table(tmp_path: Path) -> None:
    photographs(tmp_path, ["train/a.jpg", "val/b.jpg", "holdout/c.jpg", "new/d.jpg"])
    table(tmp_path / "l.csv", "image,grade", ["a,0", "b,1", "c,2", "d,3"])
    values = {"part": {"holdout": "test"}}
    intake = read(tmp_path, "^(?P<part>[^/]+)/", labels="l.csv", values=values)
    assert [record.official_split for record in intake.records] == ["train", "validation", "test", ""]
    assert intake.unparsed == ("new/d.jpg",)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"(?P<pacient>\d+)", "unknown group 'pacient' (did you mean 'patient'?)"),
        (r"(?P<patient>\d+", "is not a regular expression"),
        (r"(?P<patient>a{99999999999})", "is not a regular expression"),
        (r"(\d+)_(left|right)", "no named group"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(pattern: str, expected: str) -> None:
    with pytest.raises(ParamsError) as caught:
        compile_pattern(pattern)
    assert expected in str(caught.value)
    assert "dataset.folder.name_pattern" in str(caught.value)


def test_a_wrong_pattern_is_refused_before_any_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(ParamsError):
        read(tmp_path / "nowhere", "(")
