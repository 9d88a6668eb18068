"""Adapters of masks: which file belongs to which photograph, what was annotated, and what did not fit."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.intake.lesion_adapters.choice import ADAPTERS, read_lesion_set
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.intake.phantom.generate import write_phantom
from dr_pipeline.lesions.kinds import (
    COTTON_WOOL_SPOTS,
    HARD_EXUDATES,
    HEMORRHAGES,
    KINDS,
    MICROANEURYSMS,
    OPTIC_DISC,
)
from dr_pipeline.params.lesions import LesionData
from dr_pipeline.params.phantom_params import Phantom, PlantedFaults
from dr_pipeline.params.section import validate
from tests.factories.masked_photographs import dot, write_idrid_segmentation, write_masks, write_photographs


def section(adapter: str, root: Path, **values: Any) -> LesionData:
    defaults = {
        "kinds": ["microaneurysms"],
        "canvas_px": 128,
        "field_degrees": 45.0,
        "folds": 2,
        "seed": 0,
    }
    return validate({"adapter": adapter, "root": str(root), **defaults, **values}, LesionData, where="params.yaml")


def clinic(root: Path, **layout: Any) -> LesionSet:
    masks = {
        "photographs": "images",
        "folders": {"microaneurysms": "MA", "hard_exudates": "EX"},
        "without_file": "none",
        **layout,
    }
    return read_lesion_set(section("masks", root, masks=masks))


def files(lesions: LesionSet) -> dict[str, list[str]]:
    return {one.image_id: [Path(mask.path).name for mask in one.masks] for one in lesions.photographs}


def test_the_names_in_params_yaml_are_those_of_the_adapters() -> None:
    assert set(LesionData.model_fields["adapter"].annotation.__args__) == set(ADAPTERS)  # type: ignore[union-attr]


def test_of_idrid_a_photograph_without_a_file_has_none_of_that_lesion(tmp_path: Path) -> None:
    write_idrid_segmentation(tmp_path, ["IDRiD_01", "IDRiD_02"])
    lesions = read_lesion_set(section("idrid_segmentation", tmp_path))
    assert files(lesions) == {
        "IDRiD_01": ["IDRiD_01_MA.tif", "IDRiD_01_EX.tif", "IDRiD_01_OD.tif"],
        "IDRiD_02": ["IDRiD_02_MA.tif", "IDRiD_02_OD.tif"],
    }
    assert {one.annotated for one in lesions.photographs} == {(MICROANEURYSMS, HARD_EXUDATES, OPTIC_DISC)}
    (warning,) = lesions.warnings  # the two folders that are not there
    assert "2. Haemorrhages (hemorrhages); 4. Soft Exudates (cotton_wool_spots)" in warning


def test_idrid_s_testing_set_is_not_read(tmp_path: Path) -> None:
    write_idrid_segmentation(tmp_path, ["IDRiD_01"])
    write_photographs(tmp_path / "A. Segmentation" / "1. Original Images" / "b. Testing Set", ["IDRiD_55"])
    lesions = read_lesion_set(section("idrid_segmentation", tmp_path))
    assert [one.image_id for one in lesions.photographs] == ["IDRiD_01"]
    assert "testing set is left for a last test" in lesions.warnings[-1]


def test_the_real_idrid_is_read_whole(shared_dir: Path) -> None:
    root = shared_dir / "data" / "idrid-segmentation"
    if not root.is_dir():
        pytest.skip("IDRiD, part A: absent")
    lesions = read_lesion_set(section("idrid_segmentation", root))
    shown = [kind for one in lesions.photographs for mask in one.masks for kind in mask.kinds]
    counted = {kind: shown.count(kind) for kind in (MICROANEURYSMS, HEMORRHAGES, HARD_EXUDATES, COTTON_WOOL_SPOTS)}
    assert list(counted.values()) == [54, 53, 54, 26]
    assert all(len(one.annotated) == 5 for one in lesions.photographs)
    assert (lesions.not_annotated, lesions.orphan_masks, lesions.warnings) == ((), (), ())


def test_masks_match_by_name_with_and_without_an_ending(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["a", "b", "c", "d"])
    write_masks(tmp_path / "MA", {"a.png": dot(100, 100), "B_ma.png": dot(100, 100), "c-mask.bmp": dot(90, 90)})
    write_masks(tmp_path / "EX", {"a_hard_exudates.png": dot(150, 150), "b_SE.png": dot(1, 1), "x_EX.png": dot(1, 1)})
    lesions = clinic(tmp_path)
    assert files(lesions) == {"a": ["a.png", "a_hard_exudates.png"], "b": ["B_ma.png"], "c": ["c-mask.bmp"]}
    assert lesions.orphan_masks == ("EX/b_SE.png", "EX/x_EX.png")
    assert lesions.not_annotated == ("images/d.jpg",)


@pytest.mark.parametrize(
    ("without_file", "annotated"),
    [("none", (MICROANEURYSMS, HARD_EXUDATES)), ("not_annotated", (MICROANEURYSMS,))],
)
def test_what_a_missing_file_means_is_declared(tmp_path: Path, without_file: str, annotated: tuple[Any, ...]) -> None:
    write_photographs(tmp_path / "images", ["a", "b"])
    write_masks(tmp_path / "MA", {"a.png": dot(100, 100), "b.png": dot(100, 100)})
    write_masks(tmp_path / "EX", {"b.png": dot(150, 150)})
    a, b = clinic(tmp_path, without_file=without_file).photographs
    assert a.annotated == annotated
    assert b.annotated == (MICROANEURYSMS, HARD_EXUDATES)


def test_a_missing_folder_means_not_annotated_whatever_is_declared(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["a"])
    write_masks(tmp_path / "MA", {"a.png": dot(100, 100)})
    lesions = clinic(tmp_path)
    assert lesions.photographs[0].annotated == (MICROANEURYSMS,)
    assert "EX (hard_exudates)" in lesions.warnings[0]
    (tmp_path / "EX").mkdir()
    assert clinic(tmp_path).warnings == lesions.warnings
    with pytest.raises(DataError, match="none of the folders of masks is there, or all are empty: XX"):
        clinic(tmp_path, folders={"hard_exudates": "XX"})
    with pytest.raises(DataError, match="the folder of the photographs is missing"):
        clinic(tmp_path, photographs="elsewhere")


def _link(path: Path, away: Path) -> None:
    away.mkdir(exist_ok=True)
    path.rename(away / path.name)
    path.symlink_to(away / path.name)


def _as_gif(path: Path, _away: Path) -> None:
    Image.fromarray(dot(150, 150)).save(path.with_suffix(".gif"))
    path.unlink()


def _rename_to_bytes(path: Path, _away: Path) -> None:
    path.rename(path.with_name("b\udcff.png"))


def _as_text(path: Path, _away: Path) -> None:
    path.with_suffix(".json").write_text("{}")
    path.unlink()


def _folder_twice(path: Path, _away: Path) -> None:
    path.unlink()
    path.with_name("other").symlink_to(path.parent)


@pytest.mark.parametrize(
    ("leave_aside", "named"),
    [
        (_link, r"EX/b.png \(a link out of the data set's folder\)(.|\n)*set lesions.NAME.data.follow_links: true"),
        (_as_gif, r"EX/b.gif \(GIF\)(.|\n)*as PNG"),
        (_rename_to_bytes, r"EX/b\\xff.png \(a name that is not UTF-8\)"),
        (_as_text, r"EX/b.json \(text\)"),
        (_folder_twice, r"EX/other \(a link to a folder that is read already\)"),
    ],
)
def test_a_mask_that_is_not_read_never_means_that_there_is_no_lesion(
    tmp_path: Path, leave_aside: Any, named: str
) -> None:
    root = tmp_path / "set"
    write_photographs(root / "images", ["a", "b"])
    write_masks(root / "MA", {"a.png": dot(100, 100), "b.png": dot(100, 100)})
    write_masks(root / "EX", {"a.png": dot(150, 150), "b.png": dot(150, 150)})
    (root / "EX" / "LICENCE").write_text("CC-BY-4.0")
    (root / "EX" / "Thumbs.db").write_bytes(b"x")
    assert clinic(root).warnings == ()
    leave_aside(root / "EX" / "b.png", tmp_path / "annex")
    with pytest.raises(DataError, match=f"would count as without lesions: {named}"):
        clinic(root)
    lesions = clinic(root, without_file="not_annotated")
    assert re.search(named, lesions.warnings[0])
    assert lesions.photographs[1].annotated == (MICROANEURYSMS,)


def test_of_idrid_a_mask_that_is_not_read_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_idrid_segmentation(root, ["IDRiD_01", "IDRiD_02"])
    masks = root / "A. Segmentation" / "2. All Segmentation Groundtruths" / "a. Training Set"
    _link(masks / "3. Hard Exudates" / "IDRiD_01_EX.tif", tmp_path / "annex")
    with pytest.raises(DataError, match=r"without lesions: A. Segmentation/.*/IDRiD_01_EX.tif \(a link"):
        read_lesion_set(section("idrid_segmentation", root))
    followed = files(read_lesion_set(section("idrid_segmentation", root, follow_links=True)))
    assert followed["IDRiD_01"] == ["IDRiD_01_MA.tif", "IDRiD_01_EX.tif", "IDRiD_01_OD.tif"]


def test_photographs_that_are_not_read_are_listed_and_links_are_followed_where_declared(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_photographs(root, ["a", "b", "c"])
    write_masks(root / "MA", {"a.png": dot(100, 100), "b.png": dot(100, 100)})
    _link(root / "b.jpg", tmp_path / "annex")
    _as_gif(root / "c.jpg", tmp_path)
    _link(root / "MA" / "b.png", tmp_path / "annex")  # a file of masks, though below the photographs
    layout = {"photographs": ".", "folders": {"microaneurysms": "MA"}, "without_file": "not_annotated"}
    lesions = clinic(root, **layout)
    photographs, masks = lesions.warnings
    assert "photographs that are not read: b.jpg (a link out of the data set's folder), c.gif (GIF)" in photographs
    assert "masks that are not read: MA/b.png" in masks
    followed = read_lesion_set(section("masks", root, masks=layout, follow_links=True))
    assert files(followed) == {"a": ["a.png"], "b": ["b.png"]}
    write_photographs(root / "images", ["a"])
    _link(root / "images" / "a.jpg", tmp_path / "annex")
    with pytest.raises(DataError, match=r"no photograph found(.|\n)*set lesions.NAME.data.follow_links: true"):
        clinic(root)


def test_a_folder_that_holds_no_mask_counts_as_empty(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["a"])
    write_masks(tmp_path / "MA", {"a.png": dot(100, 100)})
    (tmp_path / "EX").mkdir()
    (tmp_path / "EX" / ".DS_Store").write_bytes(b"x")
    lesions = clinic(tmp_path)
    assert lesions.photographs[0].annotated == (MICROANEURYSMS,)
    assert lesions.warnings == (
        "folders of masks that are missing or empty, their kinds not annotated: EX (hard_exudates)",
    )
    (tmp_path / "EX" / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"or all are empty: EX \(hard_exudates\)\n.*EX/a.gif \(GIF\)"):
        clinic(tmp_path, folders={"hard_exudates": "EX"}, without_file="not_annotated")


def test_names_with_blanks_and_mirrored_folders_match(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images" / "left eye", ["IM 001", "IM 002"])
    write_photographs(tmp_path / "images" / "right eye", ["IM 001"])
    write_masks(tmp_path / "MA" / "left eye", {"IM 001.png": dot(100, 100)})
    write_masks(tmp_path / "MA" / "right eye", {"IM 001_MA.png": dot(100, 100)})
    write_masks(tmp_path / "EX", {"IM 002.png": dot(100, 100), "IM 001.png": dot(100, 100)})
    lesions = clinic(tmp_path)
    assert {(one.path, mask.path) for one in lesions.photographs for mask in one.masks} == {
        ("images/left eye/IM 001.jpg", "MA/left eye/IM 001.png"),
        ("images/right eye/IM 001.jpg", "MA/right eye/IM 001_MA.png"),
        ("images/left eye/IM 002.jpg", "EX/IM 002.png"),
    }
    assert lesions.orphan_masks == ("EX/IM 001.png",)  # of the left or of the right eye?
    assert all(" " not in one.image_id and "/" not in one.image_id for one in lesions.photographs)


@pytest.mark.parametrize(
    ("photographs", "mask", "belongs"),
    [
        (["a/img1", "b/img2"], "c/img1.png", False),
        (["a/img1", "img2"], "c/img1.png", False),
        (["img1", "a/img2"], "c/img1_MA.png", False),
        (["a/img1", "b/img2"], "a/x/img1.png", False),
        (["a/img1", "b/img2"], "A/IMG1_ma.png", True),
        (["a/img1", "b/img2"], "img1.png", True),  # the masks are in no sub-folders
        (["img1", "img2"], "c/img1.png", True),  # the photographs are in none
        (["all/img1", "all/img2"], "c/img1.png", True),
    ],
)
def test_a_mask_of_another_folder_is_no_mask_of_a_photograph(
    tmp_path: Path, photographs: list[str], mask: str, belongs: bool
) -> None:
    for path in photographs:
        write_photographs((tmp_path / "images" / path).parent, [Path(path).name])
    write_masks((tmp_path / "MA" / mask).parent, {Path(mask).name: dot(100, 100)})
    lesions = clinic(tmp_path, folders={"microaneurysms": "MA"})
    assert [one.path for one in lesions.photographs] == ([f"images/{photographs[0]}.jpg"] if belongs else [])
    assert lesions.orphan_masks == (() if belongs else (f"MA/{mask}",))


def test_two_photographs_that_differ_in_their_suffix_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["a"])
    write_masks(tmp_path / "images", {"A.png": dot(100, 100)})
    write_masks(tmp_path / "MA", {"a.png": dot(100, 100)})
    with pytest.raises(DataError, match=r"photographs of one name: images/a.jpg, images/A.png"):
        clinic(tmp_path)


def test_two_masks_of_one_photograph_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["a"])
    write_masks(tmp_path / "MA", {"a.png": dot(100, 100), "a_MA.png": dot(100, 100)})
    with pytest.raises(DataError, match="two masks of one photograph"):
        clinic(tmp_path)


def test_masks_below_the_photographs_are_no_photographs(tmp_path: Path) -> None:
    write_photographs(tmp_path, ["a"])
    write_masks(tmp_path / "masks" / "MA", {"a.png": dot(100, 100)})
    lesions = clinic(tmp_path, photographs=".", folders={"microaneurysms": "masks/MA"})
    assert files(lesions) == {"a": ["a.png"]}
    assert lesions.not_annotated == ()


def test_coloured_pictures_show_the_declared_kinds(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["a"])
    write_masks(tmp_path / "colour", {"a.png": np.dstack([dot(100, 100), dot(1, 1) * 0, dot(1, 1) * 0])})
    colours = {"hemorrhages": "#ff0000", "optic_disc": "#00FF00"}
    (one,) = clinic(tmp_path, folders={}, pictures="colour", colours=colours).photographs
    assert one.annotated == (HEMORRHAGES, OPTIC_DISC)
    assert one.masks[0].colours == ((255, 0, 0), (0, 255, 0))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"photographs": ""}, "needs `photographs`"),
        ({"folders": {}}, "and `folders` or `pictures`"),
        ({"pictures": "colour"}, "need one another"),
        ({"pictures": "c", "colours": {"hard_exudates": "#ffffff"}}, "hard_exudates has a folder as well"),
        ({"pictures": "c", "colours": {"irma": "#ffffff", "fovea": "#FFFFFF"}}, "have one colour"),
        ({"pictures": "c", "colours": {"irma": "#000000"}}, "the background's"),
        ({"pictures": "c", "colours": {"irma": "red"}}, "colours"),
        ({"folders": {"drusen": "D"}}, "drusen"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(tmp_path: Path, layout: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        clinic(tmp_path, **layout)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"folders": {"microaneurysms": "/elsewhere/MA"}}, "outside the data set's root: /elsewhere/MA"),
        ({"folders": {"microaneurysms": "../MA"}}, r"outside the data set's root: \.\./MA"),
        ({"photographs": "/images"}, "outside the data set's root: /images"),
        ({"folders": {}, "pictures": "C:/x", "colours": {"irma": "#ff0000"}}, "outside the data set's root: C:/x"),
        ({"folders": {"microaneurysms": "MA", "irma": "./MA/"}}, "one folder for several kinds: MA"),
    ],
)
def test_folders_elsewhere_or_of_two_kinds_are_refused(tmp_path: Path, layout: dict[str, Any], message: str) -> None:
    write_photographs(tmp_path / "images", ["a"])
    write_masks(tmp_path / "MA", {"a.png": dot(120, 90)})
    with pytest.raises(DataError, match=message):
        clinic(tmp_path, **layout)


def test_other_adapters_take_no_folders_and_kinds_are_named_once(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="knows its own folders"):
        section("synthetic", tmp_path, masks={"photographs": "x"})
    with pytest.raises(ParamsError, match="names a kind twice"):
        section("synthetic", tmp_path, kinds=["fovea", "fovea"])


def test_a_pattern_reads_patients_from_names(tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["p1_left", "p1_right", "p2_left", "x"])
    names = ["p1_left.png", "p1_right.png", "p2_left.png", "x.png"]
    write_masks(tmp_path / "MA", {name: dot(100, 100) for name in names})
    folders = {"microaneurysms": "MA"}
    patients = [one.patient_id for one in clinic(tmp_path, folders=folders).photographs]
    assert patients == ["", "", "", ""]
    lesions = clinic(tmp_path, folders=folders, name_pattern=r"images/(?P<patient>p\d+)_(?P<eye>\w+)\.")
    assert [one.patient_id for one in lesions.photographs] == ["p1", "p1", "p2", ""]
    assert lesions.warnings == ("file names in which `name_pattern` finds no patient: images/x.jpg (1 in all)",)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<patient>", "is not a regular expression"),
        ("(?P<pateint>p)", r"unknown group 'pateint' \(did you mean 'patient'\?\)"),
        ("p", "no named group"),
        ("(?P<eye>left|right)", "no group 'patient'"),
    ],
)
def test_a_pattern_without_a_patient_is_refused(tmp_path: Path, pattern: str, message: str) -> None:
    write_photographs(tmp_path / "images", ["p1_left"])
    write_masks(tmp_path / "MA", {"p1_left.png": dot(100, 100)})
    with pytest.raises(ParamsError, match=message) as caught:
        clinic(tmp_path, name_pattern=pattern)
    assert caught.value.where == "params.yaml, lesions.NAME.data.masks.name_pattern"


def test_the_phantom_has_exact_masks_of_all_kinds(tmp_path: Path) -> None:
    faults = PlantedFaults(**dict.fromkeys(PlantedFaults.model_fields, 0) | {"exact_duplicates": 1, "not_fundus": 1})
    params = Phantom(seed=3, patients=2, grade_shares=(0.2, 0.2, 0.2, 0.2, 0.2), megapixels=0.06, faults=faults)
    write_phantom(params, tmp_path / "phantom", workers=1)
    lesions = read_lesion_set(section("synthetic", tmp_path / "phantom"))
    assert [one.patient_id for one in lesions.photographs] == ["p0001", "p0001", "p0002", "p0002"]
    assert all(one.annotated == KINDS and one.site for one in lesions.photographs)
    assert len(lesions.not_annotated) == 2  # the copy, and the picture that shows no fundus
    with pytest.raises(DataError, match="the folder of masks is missing"):
        read_lesion_set(section("synthetic", tmp_path))
