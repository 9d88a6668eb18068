"""Label tables as spreadsheets write them; cells in the words of their data set."""

from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.intake.coded_values import CodedValues
from dr_pipeline.intake.label_table import LabelText, check_labels, read_labels
from dr_pipeline.schema import Eye, Split

COLUMNS = {"key": "image", "grade": "grade", "patient_id": "patient"}
WORDS = CodedValues(
    grades={"none": 0, "mild": 1},
    eyes={"1": Eye.RIGHT, "2": Eye.LEFT},
    parts={"development": Split.TRAIN},
    ungradable=("Inadequate",),
    params_key="dataset.folder.values",
)


@pytest.mark.parametrize(
    "text",
    [
        "sep=,\nimage,grade,patient\na.jpg,2,p1\n",
        "sep=;\nimage;grade;patient\na.jpg;2;p1\n",
        "sep=;\r\nimage;grade;patient\r\na.jpg;2;p1\r\n",
        "sep=\t\nimage\tgrade\tpatient\na.jpg\t2\tp1\n",
        "SEP=|\nimage|grade|patient\na.jpg|2|p1\n",
        '"sep=;"\nimage;grade;patient\na.jpg;2;p1\n',
        "sep=;,,\nimage,grade,patient\na.jpg,2,p1\n",  # saved again with commas
        '"sep=,",,\nimage,grade,patient\n"a.jpg",2,p1\n',
        "\ufeffsep=,\nimage,grade,patient\na.jpg,2,p1\n",
        "\ufeffimage,grade,patient\na.jpg,2,p1\n",
        "image,grade,patient\na.jpg,2,p1\n",
    ],
)
def test_the_first_line_may_say_what_stands_between_cells(tmp_path: Path, text: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_bytes(text.encode())
    (label,) = read_labels(table, COLUMNS).labels
    assert (label.key, label.grade, label.patient_id) == ("a.jpg", 2, "p1")


def test_a_fault_below_that_line_has_its_number(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("sep=;\nimage;grade;patient\na.jpg;2;p1\nb.jpg;2\n")
    with pytest.raises(DataError, match="row 4"):
        read_labels(table, COLUMNS)


def test_a_column_that_only_begins_so_is_a_header(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("sep=,image,grade,patient\nx,a.jpg,2,p1\n")
    (label,) = read_labels(table, COLUMNS).labels
    assert label.grade == 2


def test_codes_and_words_are_mapped() -> None:
    rows = [
        LabelText(key="a", grade="None", eye="1", part="development"),
        LabelText(key="b", grade="MILD", eye="2.0", part="test"),
        LabelText(key="c", grade="inadequate", eye="left"),
    ]
    table = check_labels(rows, where="labels.csv", values=WORDS)
    assert [(label.grade, label.eye, label.official_split) for label in table.labels] == [
        (0, Eye.RIGHT, "train"),
        (1, Eye.LEFT, "test"),
        (None, Eye.LEFT, ""),
    ]
    assert table.warnings == ("1 rows of labels.csv say Inadequate, ungradable; they have no grade",)


def test_a_column_of_its_own_says_what_is_ungradable() -> None:
    rows = [
        LabelText(key="a", grade="1", ungradable="0"),
        LabelText(key="b", grade="0", ungradable="1"),
        LabelText(key="c", grade="", ungradable="0"),
    ]
    table = check_labels(rows, where="labels.csv", values=CodedValues(ungradable=("0",)))
    assert [label.grade for label in table.labels] == [None, 0, None]
    assert table.warnings[0].startswith("2 rows of labels.csv")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (LabelText(key="a", grade="Moderate"), "grade other than none, mild: a: 'Moderate' (1 in all)"),
        (LabelText(key="a", grade="Moderate"), "dataset.folder.values.grade: {none: 0, mild: 1, Moderate: 2}"),
        (LabelText(key="a", eye="3"), "eye other than left, right, OS, OD, 1, 2: a: '3'"),
        (LabelText(key="a", eye="3"), "dataset.folder.values.eye: {1: right, 2: left}"),
        (LabelText(key="a", part="dev"), "part other than train, validation, test, development: a: 'dev'"),
    ],
)
def test_a_word_without_a_meaning_is_named_with_the_way_out(row: LabelText, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        check_labels([row], where="labels.csv", values=WORDS)
    assert expected in str(caught.value)


def test_an_empty_column_of_ungradable_ones_does_not_turn_to_the_grades() -> None:
    rows = [LabelText(key="a", grade="0", ungradable=""), LabelText(key="b", grade="1", ungradable="")]
    table = check_labels(rows, where="labels.csv", values=CodedValues(ungradable=("0",)))
    assert [label.grade for label in table.labels] == [0, 1]


def test_the_proposed_map_has_the_grades_that_are_right_too() -> None:
    rows = [LabelText(key=grade, grade=grade) for grade in ("0", "1", "PDR", "5")]
    with pytest.raises(DataError) as caught:
        check_labels(rows, where="labels.csv", values=CodedValues(params_key="dataset.folder.values"))
    assert "5: '5' (2 in all)" in str(caught.value)
    assert "grade: {'0': 0, '1': 1, PDR: 4, '5': …}; and list under dataset.folder.values.ungradable" in str(
        caught.value
    )


def test_a_public_sets_fixed_table_proposes_no_map() -> None:
    with pytest.raises(DataError) as caught:
        check_labels([LabelText(key="a", grade="Moderate")], where="train.csv")
    assert "params.yaml" not in str(caught.value)
