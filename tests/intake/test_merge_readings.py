"""Several graders' rows of one photograph: readings, their median, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.cli import main
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.merge_readings import median_grade
from dr_pipeline.intake.records import Intake
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.readings import read_readings
from tests.factories import REPOSITORY
from tests.factories.layouts import dataset, photographs, table


def read(root: Path, rows: list[str], *, grader: str = "who") -> Intake:
    photographs(root, ["a.png", "b.png"])
    table(root / "labels.csv", "image,grade,who,eye,patient", rows)
    return read_dataset(root, dataset("folder", labels="labels.csv", grader=grader, eye="eye", patient="patient"))


def refused(root: Path, rows: list[str], **keywords: str) -> str:
    with pytest.raises(DataError) as caught:
        read(root, rows, **keywords)
    return str(caught.value)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_the_grade_is_the_median_and_the_majority_where_there_is_one(grades: list[int]) -> None:
    grade = median_grade(grades)
    assert grade in grades
    assert sum(other > grade for other in grades) <= len(grades) / 2
    assert sum(other < grade for other in grades) <= len(grades) / 2
    assert all(grade == each for each in set(grades) if grades.count(each) > len(grades) / 2)
    assert median_grade(list(reversed(grades))) == grade


def test_of_two_readings_the_higher_counts() -> None:
    assert [median_grade(grades) for grades in ([1, 2], [4, 0], [0, 0], [0, 1, 3, 4])] == [2, 4, 0, 3]


def test_rows_of_several_graders_are_readings(tmp_path: Path) -> None:
    rows = ["a.png,1,zoe,OS,P1", "b,4,zoe,,P2", "A,3,ali,left,P1", "a,3,kim,L,P1"]
    first, second = read(tmp_path, rows).records
    assert [tuple(reading) for reading in first.readings] == [("ali", 3), ("kim", 3), ("zoe", 1)]
    assert (first.grade, first.grader, first.patient_id) == (3, "ali; kim; zoe", "P1")
    assert (second.grade, second.grader, second.readings) == (4, "zoe", ())


def test_a_grader_who_gave_no_grade_is_not_counted(tmp_path: Path) -> None:
    first, second = read(tmp_path, ["a,,x,,", "a,2,y,,", "b,,x,,", "b,,y,,"]).records
    assert (first.grade, first.grader, first.readings) == (2, "y", ())
    assert (second.grade, second.grader, second.readings) == (None, "x; y", ())


def test_one_photograph_may_be_spelt_in_several_ways(tmp_path: Path) -> None:
    (only,) = read(tmp_path, ["a,1,x,,", "a.png,3,y,,", "A,3,y,,"]).records
    assert [tuple(reading) for reading in only.readings] == [("x", 1), ("y", 3)]


def test_a_reading_that_is_there_twice_counts_once_with_a_warning(tmp_path: Path) -> None:
    intake = read(tmp_path, ["a,1,x,,", "a,3,y,,", "a,3,y,,", "b,0,x,,", "b,0,x,,"])
    assert [record.grade for record in intake.records] == [3, 0]
    assert len(intake.records[0].readings) == 2
    warnings = " ".join(intake.warnings)
    assert "readings that repeat another word for word, counted once: a.png (1 in all)" in warnings
    assert "rows that repeat another word for word, counted once: b.png (1 in all)" in warnings


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a,1,x,,", "a,2,,,"], "a.png (a row without a grader) (1 in all)"),
        (["a,1,x,,", "a,2,y,,", "a,3,y,,"], "a.png (one grader with two grades)"),
        (["a,1,x,,", "a,2,y,,", "a,,y,,"], "a.png (one grader with two grades)"),
        (["a,1,x,OS,", "a,2,y,OD,"], "a.png (more than grader and grade differs)"),
        (["a,1,Zyxwvut,,Quirinus", "a,2,y,,P2"], "a.png (more than grader and grade differs)"),
        (["a,1,x,,", "a,2,x,,"], "a.png (grade 1 x / grade 2 x)"),
        (["a,1,,,", "a,2,,,"], "named twice with different labels"),
        (["a,1,x,,", "a,7,y,,"], "a: '7' (1 in all)"),
    ],
)
def test_readings_that_cannot_be_right_are_refused(tmp_path: Path, rows: list[str], expected: str) -> None:
    message = refused(tmp_path, [*rows, "b,0,x,,"])
    assert expected in message
    assert "to do" in message
    assert "Zyxwvut" not in message
    assert "Quirinus" not in message


def test_without_a_column_of_graders_repeated_rows_contradict(tmp_path: Path) -> None:
    assert "named twice with different labels" in refused(tmp_path, ["a,1,x,,", "a,2,y,,"], grader="")


def test_the_stage_writes_readings_and_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    root, out = tmp_path / "data", tmp_path / "out"
    photographs(root, ["a.png", "b.png", "c.png"])
    table(root / "labels.csv", "image,grade,who", ["b,2,y", "a,1,x", "b,2,x", "c,0,x", "a,0,y"])
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    value = dataset("folder", labels="labels.csv", grader="who").model_dump()
    (tmp_path / "params.yaml").write_text(json.dumps(params | {"dataset": value | {"root": "data"}}))
    files = {name: out / f"{name}.csv" for name in ("manifest", "readings")}
    words = [f"--{name}={path}" for name, path in files.items()]
    expected = [f"--params={tmp_path / 'params.yaml'}", f"--root={root}", f"--report={out / 'intake.json'}"]
    assert main(["intake", *words, *expected]) == 0
    assert "2 read by several graders, 1 of them unanimously" in capsys.readouterr().out
    rows = read_readings(files["readings"])
    ids = {row.path: row.image_id for row in read_manifest(files["manifest"])}
    assert [(row.image_id, row.grader, row.grade) for row in rows] == [
        (ids["a.png"], "x", 1), (ids["a.png"], "y", 0), (ids["b.png"], "x", 2), (ids["b.png"], "y", 2)
    ]  # fmt: skip
    assert {row.path: row.grade for row in read_manifest(files["manifest"])} == {
        "a.png": 1, "b.png": 2, "c.png": 0
    }  # fmt: skip
    assert read_json(out / "intake.json")["readings"] == {"photographs": 2, "readings": 4, "unanimous": 1}


def test_the_help_explains_readings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["intake", "--help"])
    assert "dataset.folder.columns.grader" in capsys.readouterr().out
