"""JSON lists as MONAI and nnU-Net v2 write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.records import Intake
from dr_pipeline.schema import Eye
from tests.factories.layouts import dataset, photographs


def read(root: Path, document: Any = None, name: str = "list.json") -> Intake:
    if document is not None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_dataset(root, dataset("datalist", datalist=name))


def test_monai_parts_grades_and_further_keys(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png", "b.png", "sub/c.png", "d.png", "e.png"])
    item = {"image": "a.png", "label": 2, "patient": 17, "eye": "OD", "site": "s", "camera": "c", "visit": "v1"}
    intake = read(
        tmp_path,
        {
            "training": [{**item, "field": 2, "grader": "g", "fold": 0}, {"image": ["b.png"], "label": None}],
            "validation": [{"image": "sub\\c.png", "label": 3.0}],
            "test": ["./d.png"],
            "name": "ours",
        },
    )
    found = {r.path: (r.grade, r.official_split) for r in intake.records}
    assert found == {
        "a.png": (2, "train"),
        "b.png": (None, "train"),
        "sub/c.png": (3, "validation"),
        "d.png": (None, "test"),
    }
    a = next(record for record in intake.records if record.path == "a.png")
    assert (a.patient_id, a.eye, a.site, a.camera, a.visit) == ("17", Eye.RIGHT, "s", "c", "v1")
    assert (a.field, a.grader) == ("2", "g")
    assert intake.orphan_files == ("e.png",)
    assert "list.json: keys that are not read: fold (1 in all)" in intake.warnings


def test_nnunet_cases_and_paths_relative_to_the_list(tmp_path: Path) -> None:
    photographs(tmp_path, ["imagesTr/p1_0000.png", "imagesTr/p2_0000.png", "other/x.png"])
    absolute = str(tmp_path / "other" / "x.png")
    cases = {
        "p1": {"images": ["../imagesTr/p1_0000.png"], "label": 4, "patient": "p1"},
        "p2": {"images": ["../imagesTr/p2_0000.png"], "label": "0"},
        "p3": {"images": [absolute], "label": 1},
    }
    intake = read(tmp_path, {"channel_names": {"0": "R"}, "dataset": cases}, name="lists/dataset.json")
    assert {r.path: (r.grade, r.official_split) for r in intake.records} == {
        "imagesTr/p1_0000.png": (4, "train"),
        "imagesTr/p2_0000.png": (0, "train"),
        "other/x.png": (1, "train"),
    }


def test_a_whole_number_with_a_point_is_a_patient(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png"])
    (record,) = read(tmp_path, {"training": [{"image": "a.png", "label": 1, "patient": 12.0}]}).records
    assert record.patient_id == "12"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"training": [{"image": "a.png", "label": 5}]}, "a.png: '5'"),
        ({"training": [{"image": "a.png", "label": "labelsTr/a.png"}]}, "a.png: 'labelsTr/a.png'"),
        ({"training": [{"image": "a.png", "label": [0, 1]}]}, "training 0: the label [0, 1] is not a grade"),
        ({"training": [{"image": "a.png", "label": True}]}, "the label True is not a grade"),
        ({"training": [{"image": ["a.png", "b.png"], "label": 0}]}, "exactly one file is expected"),
        ({"training": [{"label": 0}]}, "training 0: the photograph is None"),
        ({"training": [{"image": "a.png", "label": 0, "patient": {}}]}, "patient is neither text nor a whole number"),
        ({"training": [{"image": "a.png", "patient": ["Zyxwvut"]}]}, "patient is neither text nor a whole number"),
        ({"training": []}, "names no photograph"),
        ({"training": [{"image": "../a.png", "label": 0}]}, "outside the data set's folder"),
        ({"training": [{"image": "/etc/passwd", "label": 0}]}, "outside the data set's folder"),
        ({"training": [{"image": "a.png", "label": 0}], "test": ["a.png"]}, "named twice with different labels"),
        ({"training": [3]}, "training 0 is neither an item nor a file name"),
        ({"training": "a.png"}, "'training' is not a list"),
        ({"trainig": []}, "none of the lists training"),
        ([1, 2], "none of the lists training"),
        ("{", "the JSON list cannot be read"),
        ("[" * 100_000, "the JSON list cannot be read"),
        ('{"training": [{"image": "a.png", "label": ' + "9" * 5000 + "}]}", "the JSON list cannot be read"),
        ('{"training": [{"image": "a.png", "label": NaN}]}', "a.png: 'nan'"),
        ({"training": [{"image": "a.png", "label": 0, "eye": "both"}]}, "a.png: 'both'"),
    ],
)
def test_a_list_that_cannot_be_right_is_refused(tmp_path: Path, document: Any, expected: str) -> None:
    photographs(tmp_path, ["a.png", "b.png"])
    with pytest.raises(DataError) as caught:
        read(tmp_path, document)
    assert expected in str(caught.value)


def test_a_list_that_is_not_named_or_missing_is_refused(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png"])
    with pytest.raises(ParamsError, match="name the JSON list"):
        read(tmp_path, name="")
    with pytest.raises(ParamsError, match="name the JSON list"):
        read(tmp_path, name="../list.json")
    with pytest.raises(DataError, match="the JSON list is missing"):
        read(tmp_path, name="none.json")


def test_rows_without_a_photograph_are_orphans(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png"])
    intake = read(tmp_path, {"training": [{"image": "a.png", "label": 0}, {"image": "gone.png", "label": 1}]})
    assert intake.orphan_rows == ("gone.png",)
