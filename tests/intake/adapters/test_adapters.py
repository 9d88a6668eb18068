"""Each layout gives the same manifest: labels joined by name, orphans listed, nothing left out uncounted."""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.records import Intake
from dr_pipeline.schema import Eye
from tests.factories.layouts import aptos, dataset, photograph, photographs, table


def read(root: Path, adapter: str, **keywords: Any) -> Intake:
    return read_dataset(root, dataset(adapter, **keywords))


def grades(intake: Intake) -> dict[str, int | None]:
    return {record.image_id: record.grade for record in intake.records}


def test_idrid_training_set_as_published(idrid_dir: Path) -> None:
    intake = read(idrid_dir, "idrid")
    counted = [sum(record.grade == grade for record in intake.records) for grade in range(5)]
    assert counted == [134, 20, 136, 74, 49]
    assert grades(intake)["IDRiD_001"] == 3
    assert not intake.orphan_rows
    assert not intake.orphan_files
    assert all(not record.patient_id for record in intake.records)
    assert intake.provenance.licence == "CC-BY-4.0"


def idrid(root: Path, part: str, letter: str, names: list[str]) -> None:
    base = root / "B. Disease Grading"
    photographs(base / "1. Original Images" / f"{letter}. {part} Set", [f"{name}.jpg" for name in names])
    table(
        base / "2. Groundtruths" / f"{letter}. IDRiD_Disease Grading_{part} Labels.csv",
        "Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,",
        [f"{name},{number % 5},0,,,,,,,,," for number, name in enumerate(names)],
    )


def test_idrid_testing_set_gets_ids_of_its_own(tmp_path: Path) -> None:
    idrid(tmp_path, "Training", "a", ["IDRiD_001", "IDRiD_002"])
    idrid(tmp_path, "Testing", "b", ["IDRiD_001"])
    assert grades(read(tmp_path, "idrid")) == {"IDRiD_001": 0, "IDRiD_002": 1, "IDRiD_test_001": 0}


def test_aptos_joins_by_name_whatever_the_order(tmp_path: Path) -> None:
    rows = [f"{number:012x},{number % 5}" for number in range(40)]
    random.Random(3).shuffle(rows)
    aptos(tmp_path, rows, [f"{number:012x}.png" for number in range(40)])
    assert grades(read(tmp_path, "aptos2019")) == {f"{number:012x}": number % 5 for number in range(40)}


def test_aptos_lists_orphans_on_both_sides(tmp_path: Path) -> None:
    aptos(tmp_path, ["a,0", "b,1", "c10,2", "c9,2"], ["a.png", "x.png"])
    intake = read(tmp_path, "aptos2019")
    assert grades(intake) == {"a": 0}
    assert intake.orphan_rows == ("b", "c9", "c10")
    assert intake.orphan_files == ("train_images/x.png",)


def test_synthetic_reads_patients_eyes_cameras_and_never_the_ground_truth(tmp_path: Path) -> None:
    photographs(tmp_path / "photographs", ["p0001_left.jpg", "p0001_right.jpg"])
    (tmp_path / "ground_truth.json").write_text("no JSON: reading it would fail")
    table(
        tmp_path / "labels.csv",
        "image,patient,eye,grade,camera,site",
        ["p0001_right,p0001,right,4,C,s", "p0001_left,p0001,left,3,C,s"],
    )
    left = next(record for record in read(tmp_path, "synthetic").records if record.image_id == "p0001_left")
    assert (left.patient_id, left.eye, left.grade, left.camera, left.site) == ("p0001", Eye.LEFT, 3, "C", "s")
    assert left.path == "photographs/p0001_left.jpg"


def test_folder_with_a_mapped_table_and_nested_photographs(tmp_path: Path) -> None:
    photographs(tmp_path, ["2024/anna.JPG", "2024/bob.tiff", "2025/bob.tiff", "straße é.png"])
    table(
        tmp_path / "grades.csv",
        "\ufeffFile , Stage,Who,Side",
        ["anna.jpg,2.0,P1,OS", "2024/BOB,0,P2,od", "2025\\bob.tiff,,P2,", "straße é.png,4,P3,Left"],
    )
    intake = read(tmp_path, "folder", labels="grades.csv", image="File", grade="Stage", patient="Who", eye="Side")
    found = {record.path: (record.grade, record.patient_id, record.eye) for record in intake.records}
    assert found == {
        "2024/anna.JPG": (2, "P1", Eye.LEFT),
        "2024/bob.tiff": (0, "P2", Eye.RIGHT),
        "2025/bob.tiff": (None, "P2", Eye.UNKNOWN),
        "straße é.png": (4, "P3", Eye.LEFT),
    }
    assert intake.left_aside == {"text": 1}  # the table itself


def test_class_folders(tmp_path: Path) -> None:
    photographs(tmp_path, ["0/a.jpg", "4/deep/a.jpg", "4/._a.jpg", "2/.cache/b.jpg", "new/c.png", "1/notes.txt"])
    intake = read(tmp_path, "folder")
    assert {record.path: record.grade for record in intake.records} == {"0/a.jpg": 0, "4/deep/a.jpg": 4}
    assert len({record.image_id for record in intake.records}) == 2
    assert intake.orphan_files == ("new/c.png",)
    assert intake.left_aside == {"hidden files": 1, "system files": 1, "text": 1}


def test_linked_folders_are_read_once_and_a_loop_ends(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    photographs(elsewhere, ["b.jpg"])
    root = tmp_path / "root"
    photograph(root / "0" / "a.jpg")
    (root / "0" / "again").symlink_to(root)
    (root / "1").symlink_to(elsewhere)
    intake = read(root, "folder", follow_links=True)
    assert {record.path for record in intake.records} == {"0/a.jpg", "1/b.jpg"}
    assert any("0/again" in warning for warning in intake.warnings)


@pytest.mark.parametrize(
    ("rows", "warned"),
    [(["a,0", "b,1", "a,0"], "a.png (1 in all)"), (["a,0", ",", "b,1"], "1 blank rows")],
)
def test_harmless_repetitions_are_counted_in_a_warning(tmp_path: Path, rows: list[str], warned: str) -> None:
    aptos(tmp_path, rows, ["a.png", "b.png"])
    intake = read(tmp_path, "aptos2019")
    assert grades(intake) == {"a": 0, "b": 1}
    assert warned in " ".join(intake.warnings)


def refused(root: Path, adapter: str, **keywords: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, adapter, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("label", ["5", "-1", "2.5", "moderate", "nan", "²", "1e0", "٣"])
def test_a_label_outside_0_to_4_is_refused(tmp_path: Path, label: str) -> None:
    aptos(tmp_path, ["a,0", f"b,{label}"], ["a.png", "b.png"])
    assert f"b: {label!r} (1 in all)" in refused(tmp_path, "aptos2019")


def test_of_many_offenders_ten_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    aptos(tmp_path, [f"i{number},7" for number in range(25)], ["i0.png"])
    message = refused(tmp_path, "aptos2019")
    assert "and 15 more (25 in all)" in message
    assert "i9: '7'" in message
    assert "i10: '7'" not in message


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a,0", "a,3"], "a.png (grade 0 / grade 3) (1 in all)"),
        (["a,0", "a.png,"], "train_images/a.png (grade 0 / grade none)"),
        (["a,0", "../b,1"], "lead out of the data set's folder: ../b"),
        (["a,0", "/etc/b.png,1"], "/etc/b.png"),
        (["a,0", "C:\\b.png,1"], "lead out"),
        (["a,0", ",1"], "no name of a photograph, counted below the header without blank rows: 2 (1 in all)"),
        (["a"], "more or fewer cells"),
        ([], "no rows"),
    ],
)
def test_rows_that_cannot_be_right_are_refused(tmp_path: Path, rows: list[str], expected: str) -> None:
    aptos(tmp_path, rows, ["a.png"])
    assert expected in refused(tmp_path, "aptos2019")


def test_a_missing_table_column_folder_or_photograph_is_named(tmp_path: Path) -> None:
    photographs(tmp_path / "train_images", ["a.png"])
    assert "train.csv" in refused(tmp_path, "aptos2019")
    table(tmp_path / "train.csv", "id_code,grade", ["a,0"])
    assert "column 'diagnosis' is missing; found 'id_code', 'grade'" in refused(tmp_path, "aptos2019")
    table(tmp_path / "train.csv", "id_code,diagnosis,diagnosis ", ["a,0,1"])
    assert "column 'diagnosis' is there twice" in refused(tmp_path, "aptos2019")
    (tmp_path / "train_images" / "a.png").rename(tmp_path / "train_images" / "a.txt")
    assert "no photograph found" in refused(tmp_path, "aptos2019")
    (tmp_path / "train_images").rename(tmp_path / "elsewhere")
    assert "the folder of photographs is missing" in refused(tmp_path, "aptos2019")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("image;patient", "column 'grade' is missing; found 'image', 'patient'"),
        ("a.jpg,1,Zyxwvut Quirinus", "found a first row that is not a header"),
        ("image,patient", "column 'grade' is missing; found 'image', 'patient'"),
    ],
)
def test_a_header_that_does_not_fit_is_described(tmp_path: Path, header: str, expected: str) -> None:
    table(tmp_path / "labels.csv", header, [])
    photographs(tmp_path, ["a.jpg"])
    message = refused(tmp_path, "folder", labels="labels.csv", patient="patient")
    assert expected in message
    assert "to do" in message
    assert "Zyxwvut" not in message


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a.jpg,1,Zyxwvut", "a.jpg,1,Quirinus"], "a.jpg (grade 1 / grade 1; the patients differ)"),
        (["a.jpg,1,Zyxwvut", "a.jpg,2,Zyxwvut"], "a.jpg (grade 1 / grade 2)"),
        ([",1,Zyxwvut"], "without blank rows: 1 (1 in all)"),
    ],
)
def test_no_message_about_rows_repeats_a_patient(tmp_path: Path, rows: list[str], expected: str) -> None:
    table(tmp_path / "labels.csv", "image,grade,patient", rows)
    photographs(tmp_path, ["a.jpg"])
    message = refused(tmp_path, "folder", labels="labels.csv", patient="patient")
    assert expected in message
    assert "Zyxwvut" not in message
    assert "Quirinus" not in message


def test_a_table_that_is_a_folder_or_a_pipe_is_refused(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png", "labels.csv/b.png"])
    assert "cannot be read" in refused(tmp_path, "folder", labels="labels.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in refused(tmp_path, "folder", labels="pipe.csv")


def test_a_name_that_fits_two_photographs_is_refused(tmp_path: Path) -> None:
    photographs(tmp_path, ["x/a.png", "y/a.png"])
    table(tmp_path / "labels.csv", "image,grade", ["a,0"])
    assert "a (x/a.png, y/a.png) (1 in all)" in refused(tmp_path, "folder", labels="labels.csv")


def test_an_unknown_eye_is_refused(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png"])
    table(tmp_path / "labels.csv", "image,grade,eye", ["a,0,both"])
    assert "a: 'both'" in refused(tmp_path, "folder", labels="labels.csv", eye="eye")


def test_a_label_table_outside_the_root_is_refused(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png"])
    assert "leads out" in refused(tmp_path, "folder", labels="../labels.csv")


@pytest.mark.parametrize(
    ("files", "expected"), [(["5/a.png", "0/b.png"], "other than 0, 1, 2, 3, 4: 5"), (["a.png"], "0, 1, 2, 3 or 4")]
)
def test_wrong_class_folders_are_refused(tmp_path: Path, files: list[str], expected: str) -> None:
    photographs(tmp_path, files)
    assert expected in refused(tmp_path, "folder")


def test_public_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    aptos(tmp_path, ["ab.png,0", "AB.jpg,1"], ["ab.png", "AB.jpg"])
    assert "AB = ab (1 in all)" in refused(tmp_path, "aptos2019")


def test_public_names_with_dots_are_refused(tmp_path: Path) -> None:
    aptos(tmp_path, ["a.left.png,0"], ["a.left.png"])
    assert "'a.left'" in refused(tmp_path, "aptos2019")


def test_file_names_that_are_not_utf8_are_listed_and_stop_nothing(tmp_path: Path) -> None:
    photograph(tmp_path / "0" / "a.png")
    (tmp_path / "0" / "b\udcff.png").write_bytes(b"x")
    intake = read(tmp_path, "folder")
    assert grades(intake) == {intake.records[0].image_id: 0}
    assert intake.orphan_files == ("0/b\\xff.png",)
    assert "not UTF-8" in " ".join(intake.warnings)
    table(tmp_path / "labels.csv", "image,grade", ["a,3"])
    assert read(tmp_path, "folder", labels="labels.csv").orphan_files == ("0/b\\xff.png",)


def test_dicom_files_are_photographs_by_suffix_and_by_content(tmp_path: Path) -> None:
    dicom = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00"
    for name in ("a.dcm", "b.DICOM", "c", "1.2.840.10008", "d.csv"):
        path = photograph(tmp_path / "1" / name)
        path.write_bytes(dicom)
    photographs(tmp_path / "1", ["notes.txt", "README"])
    os.mkfifo(tmp_path / "1" / "pipe")
    intake = read(tmp_path, "folder")
    assert {record.path for record in intake.records} == {
        "1/a.dcm", "1/b.DICOM", "1/c", "1/1.2.840.10008", "1/d.csv"
    }  # fmt: skip
    assert intake.left_aside == {"text": 2, "unreadable files": 1}


def test_idrid_parts_are_the_official_split(tmp_path: Path) -> None:
    idrid(tmp_path, "Training", "a", ["IDRiD_001"])
    idrid(tmp_path, "Testing", "b", ["IDRiD_001"])
    assert [record.official_split for record in read(tmp_path, "idrid").records] == ["train", "test"]
