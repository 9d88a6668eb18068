"""The public sets whose download we do not have, in the layouts that their documentation and their readers show."""

from pathlib import Path

import pytest

from dr_pipeline.adapter_registry import find
from dr_pipeline.cli import main
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.build_manifest import manifest_rows
from dr_pipeline.intake.join import WITHOUT_PARTS
from dr_pipeline.intake.records import Intake, Record
from dr_pipeline.intake.run_intake import intake_report
from dr_pipeline.recipes.compose import recipe_text
from dr_pipeline.schema import Eye
from dr_pipeline.tables.manifest import read_manifest
from tests.factories.layouts import dataset, ddr, deepdrid, eyepacs, messidor2, photographs, table, workbook


def read(root: Path, adapter: str) -> Intake:
    return read_dataset(root, dataset(adapter))


def by_id(intake: Intake) -> dict[str, Record]:
    return {record.image_id: record for record in intake.records}


def refused(root: Path, adapter: str) -> str:
    with pytest.raises(DataError) as caught:
        read(root, adapter)
    return str(caught.value)


def test_eyepacs_patients_eyes_and_the_published_protocol(tmp_path: Path) -> None:
    eyepacs(
        tmp_path,
        train=["10_left,0", "10_right,4"],
        test=["1_left,2,Private", "1_right,3,Public", "2_left,1,Private"],
    )
    found = {
        name: (record.grade, record.patient_id, record.eye, record.official_split)
        for name, record in by_id(read(tmp_path, "eyepacs")).items()
    }
    assert found == {
        "10_left": (0, "10", Eye.LEFT, "train"),
        "10_right": (4, "10", Eye.RIGHT, "train"),
        "1_left": (2, "1", Eye.LEFT, "test"),
        "1_right": (3, "1", Eye.RIGHT, "validation"),
        "2_left": (1, "2", Eye.LEFT, "test"),
    }


def test_eyepacs_without_its_test_set_and_with_a_strange_name(tmp_path: Path) -> None:
    eyepacs(tmp_path, train=["10_left,0", "10left,1"])
    intake = read(tmp_path, "eyepacs")
    assert f"test and retinopathy_solution.csv not there: training set only; {WITHOUT_PARTS}" in intake.warnings
    assert by_id(intake)["10left"].patient_id == ""
    assert intake.unparsed == ("train/10left.jpeg",)
    photographs(tmp_path / "test", ["1_left.jpeg"])
    assert (
        f"retinopathy_solution.csv not there: training set only; {WITHOUT_PARTS}" in read(tmp_path, "eyepacs").warnings
    )


def test_eyepacs_refuses_an_unknown_usage(tmp_path: Path) -> None:
    eyepacs(tmp_path, train=["10_left,0"], test=["1_left,2,Hidden"])
    assert "1_left: 'Hidden' (1 in all)" in refused(tmp_path, "eyepacs")


def test_messidor2_google_joins_whatever_the_suffix_and_pairs_the_eyes(tmp_path: Path) -> None:
    messidor2(
        tmp_path,
        names=["20051020_43808_0100_PP.png", "20051020_43832_0100_PP.png", "IM000013.JPG", "IM000014.JPG"],
        rows=["20051020_43808_0100_PP.png,0,0,1", "20051020_43832_0100_PP.png,,,0", "IM000013.jpg,4,1,1"],
        pairs=["20051020_43808_0100_PP.png;20051020_43832_0100_PP.png", "IM000013.JPG;IM000014.JPG"],
    )
    intake = read(tmp_path, "messidor2_google")
    found = by_id(intake)
    assert {name: record.grade for name, record in found.items()} == {
        "20051020_43808_0100_PP": 0,
        "20051020_43832_0100_PP": None,
        "IM000013": 4,
    }
    left, right = found["20051020_43808_0100_PP"], found["20051020_43832_0100_PP"]
    assert left.patient_id == right.patient_id == "20051020_43808_0100_PP"
    assert (left.eye, right.eye, found["IM000013"].eye) == (Eye.LEFT, Eye.RIGHT, Eye.LEFT)
    assert found["IM000013"].grader == "Google, adjudicated"
    assert intake.orphan_files == ("IMAGES/IM000014.JPG",)
    assert any(warning.startswith("1 photographs are not gradable") for warning in intake.warnings)


def test_messidor2_patients_do_not_depend_on_the_lists_order(tmp_path: Path) -> None:
    names = [f"IM{number:06}.JPG" for number in range(8)]
    pairs = [f"{left};{right}" for left, right in zip(names[::2], names[1::2], strict=True)]
    rows = [f"{name},0,0,1" for name in names]
    one = by_id(read(messidor2(tmp_path / "one", names=names, rows=rows, pairs=pairs), "messidor2_google"))
    two = by_id(read(messidor2(tmp_path / "two", names=names, rows=rows[::-1], pairs=pairs[::-1]), "messidor2_google"))
    assert one == two
    assert len({record.patient_id for record in one.values()}) == 4


def test_messidor2_google_warns_of_what_is_unknown(tmp_path: Path) -> None:
    names = ["IM000001.JPG", "IM000002.JPG", "IM000003.JPG"]
    messidor2(tmp_path, names=names, rows=[f"{name},0,0,1" for name in names])
    assert any("patients are unknown" in warning for warning in read(tmp_path, "messidor2_google").warnings)
    table(tmp_path / "messidor-2.csv", "left;right", ["IM000001.JPG;IM000002.JPG"])
    assert (
        "photographs in no examination of messidor-2.csv: IM000003 (1 in all)"
        in read(tmp_path, "messidor2_google").warnings
    )
    table(tmp_path / "messidor-2.csv", "left;right", ["IM000001.JPG;IM000002.JPG", "IM000002.JPG;IM000003.JPG"])
    assert "in two examinations: IM000002.JPG (1 in all)" in refused(tmp_path, "messidor2_google")
    table(tmp_path / "messidor-2.csv", "first;second", ["a;b"])
    assert "expected left;right" in refused(tmp_path, "messidor2_google")


def test_messidor2_google_reads_the_copy_with_other_column_names(tmp_path: Path) -> None:
    photographs(tmp_path, ["IM000001.JPG"])
    table(
        tmp_path / "messidor_data.csv", "id_code,diagnosis,adjudicated_dme,adjudicated_gradable", ["IM000001.jpg,3,0,1"]
    )
    assert by_id(read(tmp_path, "messidor2_google"))["IM000001"].grade == 3


def iowa(root: Path, *, names: list[str], rows: list[str]) -> Path:
    photographs(root / "Messidor-2", names)
    table(root / "abramoff-messidor-2-refstandard-jul16.csv", "examid,rDR", rows)
    return root


def test_messidor2_abramoff_is_referable_by_examination_and_has_no_grades(tmp_path: Path) -> None:
    names = ["IM0001-a.jpg", "IM0001-b.jpg", "im1002_1.JPG", "IM000101.jpg", "notes.jpg"]
    iowa(tmp_path, names=names, rows=["IM0001,1", "IM1002,0", "IM0003,0"])
    intake = read(tmp_path, "messidor2_abramoff")
    found = {name: (r.grade, r.referable, r.patient_id) for name, r in by_id(intake).items()}
    assert found == {
        "IM0001-a": (None, 1, "IM0001"),
        "IM0001-b": (None, 1, "IM0001"),
        "im1002_1": (None, 0, "IM1002"),
    }
    assert intake.orphan_rows == ("IM0003",)
    assert set(intake.orphan_files) == {"Messidor-2/IM000101.jpg", "Messidor-2/notes.jpg"}
    rows, unreadable = manifest_rows(intake, tmp_path, source="messidor2_abramoff")
    assert [(row.grade, row.referable) for row in rows] == [(None, 1), (None, 1), (None, 0)]
    report = intake_report(intake, find("messidor2_abramoff"), unreadable=unreadable)
    assert report["referable"] == {"0": 1, "1": 2}
    assert "not for training" in " ".join(report["warnings"])
    assert "absent from the whole data set" not in " ".join(report["warnings"])


def test_messidor2_abramoff_names_the_download_it_matches(tmp_path: Path) -> None:
    iowa(tmp_path, names=["IM000001.JPG", "20051020_43808_0100_PP.png"], rows=["IM0001,0"])
    assert "use the adapter messidor2_google" in refused(tmp_path, "messidor2_abramoff")
    iowa(tmp_path, names=["IM0001.jpg"], rows=["IM0001,2"])
    assert "IM0001: '2' (1 in all)" in refused(tmp_path, "messidor2_abramoff")


def test_ddr_official_parts_and_ungradable_ones(tmp_path: Path) -> None:
    ddr(
        tmp_path,
        train=["007-0004-000.jpg 0", "20170323093305605.jpg 5", "a.jpg 5"],
        valid=["007-0005-000.jpg 4"],
        test=["007-0006-000.jpg 2"],
    )
    intake = read(tmp_path, "ddr")
    assert {name: (record.grade, record.official_split) for name, record in by_id(intake).items()} == {
        "007-0004-000": (0, "train"),
        "20170323093305605": (None, "train"),
        "a": (None, "train"),
        "007-0005-000": (4, "validation"),
        "007-0006-000": (2, "test"),
    }
    assert "2 rows of train.txt say 5, ungradable; they have no grade" in intake.warnings


def test_ddr_distinguishes_equal_names_in_two_parts(tmp_path: Path) -> None:
    ddr(tmp_path, train=["007.jpg 0", "008.jpg 1"], valid=["009.jpg 1"], test=["007.jpg 3"])
    assert {name: record.grade for name, record in by_id(read(tmp_path, "ddr")).items()} == {
        "train_007": 0,
        "008": 1,
        "009": 1,
        "test_007": 3,
    }


@pytest.mark.parametrize(("line", "expected"), [("a.jpg", "not a name and a class: a.jpg"), ("a.jpg 6", "a.jpg: '6'")])
def test_ddr_refuses_other_lines(tmp_path: Path, line: str, expected: str) -> None:
    ddr(tmp_path, valid=[line])
    assert expected in refused(tmp_path, "ddr")


def test_ddr_names_what_the_root_contains(tmp_path: Path) -> None:
    assert "contains the folder DR_grading" in refused(tmp_path, "ddr")


TRAINING = ["1,1_l1,0,", "1,1_l2,0,", "1,1_r1,,3", "56,56_r3,1,", "7,7_l1,5,"]


def test_deepdrid_views_eyes_sites_and_official_parts(tmp_path: Path) -> None:
    sites = ["1,1_l1,x,Nicheng", "1,1_r1,x,Shanghai"]
    deepdrid(tmp_path, training=TRAINING, validation=["265,265_r2,,4"], sites=sites)
    evaluation = tmp_path / "regular_fundus_images" / "Online-Challenge1&2-Evaluation"
    photographs(evaluation / "Images", ["347/347_l1.jpg", "347/347_r1.jpg"])
    workbook(evaluation / "Challenge1_labels.xlsx", [["image_id", "DR_Levels"], ["347_l1", 2], ["347_r1", 0]])
    intake = read(tmp_path, "deepdrid")
    found = {
        name: (record.grade, record.patient_id, record.eye, record.field, record.site, record.official_split)
        for name, record in by_id(intake).items()
    }
    assert found == {
        "1_l1": (0, "1", Eye.LEFT, "1", "Nicheng", "train"),
        "1_l2": (0, "1", Eye.LEFT, "2", "", "train"),
        "1_r1": (3, "1", Eye.RIGHT, "1", "Shanghai", "train"),
        "56_r3": (1, "56", Eye.UNKNOWN, "3", "", "train"),
        "7_l1": (None, "7", Eye.LEFT, "1", "", "train"),
        "265_r2": (4, "265", Eye.RIGHT, "2", "", "validation"),
        "347_l1": (2, "347", Eye.LEFT, "1", "", "test"),
        "347_r1": (0, "347", Eye.RIGHT, "1", "", "test"),
    }
    assert "eye unknown: 56_r3 (1 in all)" in " ".join(intake.warnings)
    assert "1 rows of regular-fundus-training.csv say 5" in " ".join(intake.warnings)


def test_deepdrid_without_test_labels_and_with_two_grades_in_a_row(tmp_path: Path) -> None:
    deepdrid(tmp_path, training=TRAINING[:2], validation=["265,265_r2,,4"])
    expected = f"Challenge1_labels.xlsx is not there: no official test set; {WITHOUT_PARTS}"
    assert expected in read(tmp_path, "deepdrid").warnings
    deepdrid(tmp_path, training=["1,1_l1,0,2"], validation=["265,265_r2,,4"])
    assert "grades of both eyes: 1_l1 (1 in all)" in refused(tmp_path, "deepdrid")


def small(root: Path, name: str) -> Path:
    """A few photographs in the layout of one recipe's data set."""
    if name == "eyepacs":
        return eyepacs(root, train=["10_left,0"], test=["1_left,2,Private", "2_right,3,Public"])
    if name == "ddr":
        return ddr(root)
    if name == "deepdrid":
        return deepdrid(root, training=TRAINING, validation=["265,265_r2,,4"])
    if name == "messidor2_google":
        return messidor2(root, names=["IM000001.JPG"], rows=["IM000001.jpg,0,0,1"])
    photographs(root, ["a.png"])
    (root / "dataset.json").write_text('{"training": [{"image": "a.png", "label": 1}]}')
    return root


@pytest.mark.parametrize("name", ["eyepacs", "ddr", "deepdrid", "messidor2_google", "datalist"])
def test_each_recipe_reads_its_layout_to_a_manifest(tmp_path: Path, name: str) -> None:
    root = small(tmp_path / "data", name)
    recipe = tmp_path / "params.yaml"
    recipe.write_text(recipe_text(name), encoding="utf-8")
    manifest, report = tmp_path / "manifest.csv", tmp_path / "intake.json"
    paths = [f"--params={recipe}", f"--root={root}", f"--manifest={manifest}", f"--report={report}"]
    assert main(["intake", *paths, f"--readings={tmp_path / 'readings.csv'}"]) == 0
    rows = read_manifest(manifest)
    assert len(rows) == read_json(report)["photographs"] > 0
    assert {row.source for row in rows} == {name}
    assert sum(read_json(report)["official_split"].values()) == (0 if name == "messidor2_google" else len(rows))
