"""Folders as clinics and public copies really have them: intake finds each photograph, its words, and its place."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.records import Intake
from dr_pipeline.intake.run_intake import run_intake
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.params.section import validate
from dr_pipeline.recipes.compose import recipe_text
from dr_pipeline.schema import Eye
from tests.factories.layouts import dataset, photographs, table

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(100)


def read(root: Path, **keywords: Any) -> Intake:
    return read_dataset(root, dataset("folder", **keywords))


def read_recipe(root: Path, name: str) -> Intake:
    section = yaml.safe_load(recipe_text(name))["dataset"]
    return read_dataset(root, validate(section, Dataset, where=name))


def files(root: Path, contents: Mapping[str, bytes]) -> None:
    for name, data in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_photographs_of_any_name_are_found_and_the_rest_is_counted_by_kind(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jfif", "c.jpe", "d.JPG.bak", "e", "f.txt", "g.jpg~", "h.1.2.840", "i.dat"]
    files(tmp_path / "1", dict.fromkeys(names, JPEG))
    files(
        tmp_path, {"1/letter.pdf": b"%PDF-1.7", "1/clip.mp4": b"\0\0\0\x20ftypisom", "1/k.heic": b"\0\0\0\x18ftypheic"}
    )
    files(tmp_path, {"notes.txt": b"notes", "1/.hidden.jpg": JPEG, "Thumbs.db": b"x", "@eaDir/a.jpg/THUMB.jpg": JPEG})
    result = run_intake(tmp_path, dataset("folder"))
    assert {row.path for row in result.manifest} == {f"1/{name}" for name in names}
    assert result.report["left_aside"] == {
        "HEIC": 1, "PDF": 1, "film or sound": 1, "hidden files": 1, "system files": 2, "text": 1
    }  # fmt: skip
    assert "left aside: 2 system files, 1 HEIC, 1 PDF, 1 film or sound, 1 hidden files, 1 text" in result.headline
    assert "not read: 1 HEIC; export them as JPEG or PNG" in result.headline


def test_a_table_names_photographs_without_regard_to_their_suffix(tmp_path: Path) -> None:
    files(tmp_path, dict.fromkeys(["a.jfif", "b.JPG.bak", "c", "d.txt"], JPEG))
    table(tmp_path / "labels.csv", "image,grade", ["a.jpg,0", "b,1", "c.jpg,2", "d.txt,3"])
    intake = read(tmp_path, labels="labels.csv")
    assert {record.path: record.grade for record in intake.records} == {"a.jfif": 0, "b.JPG.bak": 1, "c": 2, "d.txt": 3}
    assert not intake.orphan_rows
    assert not intake.orphan_files


def test_a_servers_thumbnails_and_deleted_files_are_no_photographs(tmp_path: Path) -> None:
    names = [f"{number % 5}/eye{number}.jpg" for number in range(20)]
    photographs(tmp_path, names)
    for name in names:
        grade, file = name.split("/")
        photographs(tmp_path / grade / "@eaDir" / file, ["SYNOPHOTO_THUMB_XL.jpg", "SYNOPHOTO_THUMB_S.jpg"])
        photographs(tmp_path / grade, [f"._{file}"])
    photographs(tmp_path, ["#recycle/1/x.jpg", "$RECYCLE.BIN/1/x.jpg", "__MACOSX/1/._x.jpg", "2/Thumbs.db"])
    intake = read(tmp_path)
    assert len(intake.records) == 20
    assert not intake.orphan_files
    assert intake.left_aside == {"system files": 64}


def test_ignored_files_are_counted(tmp_path: Path) -> None:
    photographs(tmp_path, ["0/a.jpg", "1/b.jpg", "0/a_mask.png", "old/3/c.jpg", "old/3/d.jpg"])
    intake = read(tmp_path, ignore=["*_mask.png", "old"])
    assert {record.path for record in intake.records} == {"0/a.jpg", "1/b.jpg"}
    assert intake.left_aside == {"ignored files": 3}


def test_links_that_lead_out_are_named_and_followed_only_by_request(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    photographs(root, ["0/a.jpg"])
    photographs(elsewhere, ["b.jpg"])
    (root / "1").symlink_to(elsewhere)
    (root / "0" / "c.jpg").symlink_to(elsewhere / "b.jpg")
    (root / "0" / "again.jpg").symlink_to("a.jpg")
    (root / "up").symlink_to("..")
    intake = read(root)
    assert {record.path for record in intake.records} == {"0/a.jpg", "0/again.jpg"}
    assert intake.left_aside == {"links out of the folder": 3}
    assert "0/c.jpg, 1, up (3 in all); to follow them, set dataset.follow_links: true" in " ".join(intake.warnings)
    followed = {record.path for record in read(root, follow_links=True, ignore=["up"]).records}
    assert followed == {"0/a.jpg", "0/again.jpg", "0/c.jpg", "1/b.jpg"}


def test_a_folder_of_links_alone_says_what_to_do(tmp_path: Path) -> None:
    photographs(tmp_path / "elsewhere", ["a.jpg"])
    (tmp_path / "root" / "0").mkdir(parents=True)
    (tmp_path / "root" / "0" / "a.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    with pytest.raises(DataError, match=r"left aside: 1 links out of the folder(.|\n)*dataset.follow_links: true"):
        read(tmp_path / "root")


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    photographs(tmp_path / "set", ["0/a.jpg"])
    (tmp_path / "source").symlink_to("set")
    (tmp_path / "set" / "1").symlink_to("0")
    assert {record.path for record in read(tmp_path / "source").records} == {"0/a.jpg"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make the folder unreadable and read the others")
def test_a_systems_folder_that_is_closed_stops_nothing(tmp_path: Path) -> None:
    photographs(tmp_path, ["0/a.jpg", "lost+found/#1.jpg"])
    (tmp_path / "lost+found").chmod(0)
    assert read(tmp_path).left_aside == {"system files": 1}


def test_paths_of_another_machine_are_matched_by_their_end(tmp_path: Path) -> None:
    photographs(tmp_path, ["train_images/a.png", "train_images/b.png", "train_images/c.png"])
    prefix = "/kaggle/input/aptos/train_images/"
    table(tmp_path / "labels.csv", "image,grade", [f"{prefix}a.png,0", f"{prefix}b.png,1", f"{prefix}gone.png,2"])
    intake = read(tmp_path, labels="labels.csv")
    assert {record.path: record.grade for record in intake.records} == {
        "train_images/a.png": 0,
        "train_images/b.png": 1,
    }
    assert intake.orphan_rows == (f"{prefix}gone.png",)
    assert intake.orphan_files == ("train_images/c.png",)
    assert any(warning.startswith("2 rows name photographs by a folder") for warning in intake.warnings)


def test_paths_of_another_machine_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.png"])
    table(tmp_path / "labels.csv", "image,grade", ["C:\\data\\x.png,0"])
    with pytest.raises(DataError, match=r"lead out of the data set's folder: C:\\data\\x.png \(1 in all\)"):
        read(tmp_path, labels="labels.csv")


def test_an_eye_of_the_names_may_be_coded(tmp_path: Path) -> None:
    photographs(tmp_path, ["0/p1_1.jpg", "1/p1_2.jpg"])
    intake = read(tmp_path, pattern=r"(?P<patient>p\d)_(?P<eye>[12])", values={"eye": {"1": "right", "2": "left"}})
    assert [record.eye for record in intake.records] == [Eye.RIGHT, Eye.LEFT]


def test_a_column_of_ungradable_photographs_needs_its_words() -> None:
    with pytest.raises(ParamsError, match=r"values\.ungradable: list the words of the column 'quality'"):
        dataset("folder", labels="labels.csv", ungradable="quality")


def test_parts_in_a_column(tmp_path: Path) -> None:
    photographs(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    table(tmp_path / "labels.csv", "image,grade,set", ["a,0,dev", "b,1,Test", "c,2,"])
    intake = read(tmp_path, labels="labels.csv", part="set", values={"part": {"dev": "train"}})
    assert [record.official_split for record in intake.records] == ["train", "test", ""]


def test_brset(tmp_path: Path) -> None:
    photographs(tmp_path / "fundus_photos", ["img00001.jpg", "img00002.jpg", "img00003.jpg"])
    table(
        tmp_path / "labels_brset.csv",
        "image_id,patient_id,camera,patient_age,exam_eye,DR_SDRG,DR_ICDR,quality",
        ["img00001,1,Canon CR,48,1,0,0,Adequate", "img00002,1,Canon CR,48,2,4,4,Adequate", "img00003,2,NIKON,,1,1,,x"],
    )
    intake = read_recipe(tmp_path, "brset")
    assert [(r.path, r.grade, r.patient_id, r.eye, r.camera) for r in intake.records] == [
        ("fundus_photos/img00001.jpg", 0, "1", Eye.RIGHT, "Canon CR"),
        ("fundus_photos/img00002.jpg", 4, "1", Eye.LEFT, "Canon CR"),
        ("fundus_photos/img00003.jpg", None, "2", Eye.RIGHT, "NIKON"),
    ]
    assert intake.provenance.licence.startswith("PhysioNet Credentialed")


def test_mbrset(tmp_path: Path) -> None:
    photographs(tmp_path / "images", ["1.1.jpg", "1.2.jpg", "2.3.jpg"])
    table(
        tmp_path / "labels_mbrset.csv",
        "patient,age,sex,file,laterality,final_artifacts,final_quality,final_icdr,final_edema",
        ["1,60,0,1.1.jpg,right,no,yes,2.0,no", "1,60,0,1.2.jpg,left,no,yes,0.0,no", "2,70,1,2.3.jpg,right,yes,no,,"],
    )
    intake = read_recipe(tmp_path, "mbrset")
    assert [(r.path, r.grade, r.patient_id, r.eye) for r in intake.records] == [
        ("images/1.1.jpg", 2, "1", Eye.RIGHT),
        ("images/1.2.jpg", 0, "1", Eye.LEFT),
        ("images/2.3.jpg", None, "2", Eye.RIGHT),
    ]


def test_retfound_folders(tmp_path: Path) -> None:
    classes = ("anodr", "bmilddr", "cmoderatedr", "dseveredr", "eproliferativedr")
    photographs(tmp_path, [f"{part}/{name}/{part}{name}.png" for part in ("train", "val", "test") for name in classes])
    intake = read_recipe(tmp_path, "retfound_folders")
    assert len(intake.records) == 15
    for record in intake.records:
        part, name, _ = record.path.split("/")
        assert record.grade == classes.index(name)
        assert record.official_split == ("validation" if part == "val" else part)


@pytest.mark.parametrize("wrapper", ["", "colored_images/", "gaussian_filtered_images/gaussian_filtered_images/"])
def test_kaggle_folders(tmp_path: Path, wrapper: str) -> None:
    classes = {"No_DR": 0, "Mild": 1, "Moderate": 2, "Severe": 3, "Proliferate_DR": 4}
    photographs(tmp_path, [f"{wrapper}{name}/{name}.png" for name in classes])
    table(tmp_path / "train.csv", "id_code,diagnosis", ["No_DR,0"])
    intake = read_recipe(tmp_path, "kaggle_folders")
    assert {record.path.split("/")[-2]: record.grade for record in intake.records} == classes
    assert intake.left_aside == {"text": 1}
