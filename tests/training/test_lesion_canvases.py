"""Photographs with masks against a grading set: what is found in it, what is left out, what stays together."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from dr_pipeline.canvases.build import build_store
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.canvases.store import INDEX, PIXEL_PATH, CanvasStore
from dr_pipeline.cli import main
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.intake.phantom.jpeg_files import encode_turned
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.params.lesions import KindName, LesionData
from dr_pipeline.params.section import validate
from dr_pipeline.tables.lesion_index import read_lesion_index, write_lesion_index
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import SplitRow, write_splits
from dr_pipeline.training.lesion_canvases import NOT_LEARNED, prepare_lesion_canvases
from dr_pipeline.training.lesion_photographs import OF_TEST_PART, GradingSet
from tests.factories import REPOSITORY
from tests.factories.drawings import draw_fundus, encode, jpeg, with_tissue
from tests.factories.retakes import View, take

pytestmark = pytest.mark.slow

HERE = EngineChoice(EngineName.IN_PROCESS)
SIDE = 400
# Of the grading set: the part of each eye's photograph.
PARTS = {"g1": "test", "g2": "test", "g3": 0, "g4": 1}
PATIENTS = {"g2": "P", "g4": "P2"}


def eye(seed: int) -> np.ndarray:
    return with_tissue(draw_fundus(SIDE, SIDE, SIDE / 2, SIDE / 2, SIDE * 0.47, seed=seed), seed)


def another_view(seed: int) -> np.ndarray:
    return take(eye(seed), View(0.2, 0.1, 1.0, 8.0), SIDE)


# Each photograph with masks, by what it is to the grading set.
PHOTOGRAPHS = {
    "copy_of_test": lambda: jpeg(eye(1), 60),
    "eye_of_test": lambda: jpeg(another_view(2), 90),
    "identical_to_g3": lambda: jpeg(eye(3)),
    "new_a": lambda: jpeg(eye(7)),
    "new_a_again": lambda: jpeg(another_view(7)),
    "new_b": lambda: jpeg(eye(8)),
    "new_c_turned": lambda: encode_turned(eye(10), 95, 6),
    "page": lambda: jpeg(np.full((SIDE, SIDE, 3), 250, np.uint8)),
}


def mask(x: int, y: int, radius: int = 4) -> bytes:
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(drawn, (x, y), radius, 255, -1)
    return encode(drawn, ".png")


@pytest.fixture(scope="module")
def grading(tmp_path_factory: pytest.TempPathFactory) -> GradingSet:
    root = tmp_path_factory.mktemp("grading")
    rows, splits = [], []
    for name, part in PARTS.items():
        (root / f"{name}.jpg").write_bytes(jpeg(eye(int(name[1:]))))
        patient = PATIENTS.get(name, "")
        digest = sha256_file(root / f"{name}.jpg")
        rows.append(ManifestRow(image_id=name, path=f"{name}.jpg", sha256=digest, patient_id=patient, grade=1))
        split, fold = ("test", None) if part == "test" else ("development", part)
        splits.append(SplitRow(image_id=name, patient_id=patient, group=name, grade=1, split=split, fold=fold))
    build_store(rows, root, root / "canvases", PixelPath(192), num_shards=1, engines=HERE)
    return GradingSet(CanvasStore(root / "canvases"), rows, splits)


@pytest.fixture(scope="module")
def outlined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("outlined")
    for folder in ("images", "MA", "EX"):
        (root / folder).mkdir()
    for number, (name, photograph) in enumerate(PHOTOGRAPHS.items()):
        (root / "images" / f"{name}.jpg").write_bytes(photograph())
        (root / "MA" / f"{name}.png").write_bytes(mask(150 + number, 170))
        if number % 2:
            (root / "EX" / f"{name}_EX.png").write_bytes(mask(152 + number, 170, 9))
    (root / "images" / "unmarked.jpg").write_bytes(jpeg(eye(14)))
    (root / "EX" / "nobody.png").write_bytes(mask(9, 9))
    return root


def data(root: Path, **values: Any) -> LesionData:
    layout = {"photographs": "images", "folders": {"microaneurysms": "MA", "hard_exudates": "EX"}}
    section = {
        "adapter": "masks",
        "root": str(root),
        "kinds": ["microaneurysms", "hard_exudates"],
        "canvas_px": 256,
        "field_degrees": 45.0,
        "folds": 3,
        "seed": 1,
        "masks": {**layout, "without_file": "none"},
    }
    return validate(section | values, LesionData, where="params.yaml")


def prepared(grading: GradingSet, folder: Path, section: LesionData) -> dict[str, Any]:
    root = grading.store.root.parent
    report = prepare_lesion_canvases(
        "clinic", section, grading, folder / "store", folder / "scratch", HERE, grading_root=root
    )
    figures: dict[str, Any] = report["lesion_canvases"]["clinic"]
    return figures


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, grading: GradingSet, outlined: Path) -> tuple[LesionStore, Any]:
    folder = tmp_path_factory.mktemp("prepared")
    report = prepared(grading, folder, data(outlined))
    return LesionStore(folder / "store"), report


def test_what_is_in_the_grading_set_is_found_however_it_is_there(store: tuple[LesionStore, Any]) -> None:
    found = {(one["image_id"], one["grading_id"], one["how"], one["part"]) for one in store[1]["in_grading_set"]}
    assert found == {
        ("copy_of_test", "g1", "near_duplicate", "test"),
        ("eye_of_test", "g2", "same_eye", "test"),
        ("identical_to_g3", "g3", "identical", "fold 0"),
    }


def test_none_trains_lesions_and_tests_grades(store: tuple[LesionStore, Any]) -> None:
    assert store[1]["left_out"] == {OF_TEST_PART: ["copy_of_test", "eye_of_test"], "not_fundus": ["page"]}
    assert set(store[0].rows) == {"identical_to_g3", "new_a", "new_a_again", "new_b", "new_c_turned"}
    assert store[1]["photographs"] == {
        "with_masks": 8,
        "used": 5,
        "healthy": 0,
        "left_out": {OF_TEST_PART: 2, "not_fundus": 1},
        "not_annotated": 1,
        "groups": 4,
    }


def test_two_photographs_of_one_eye_are_in_one_group_and_fold(store: tuple[LesionStore, Any]) -> None:
    rows = store[0].rows
    assert rows["new_a"].group == rows["new_a_again"].group == "new_a"
    assert rows["new_a"].fold == rows["new_a_again"].fold
    assert {row.fold for row in rows.values()} == {0, 1, 2}


def test_what_did_not_fit_is_listed_and_counted(store: tuple[LesionStore, Any]) -> None:
    report = store[1]
    assert report["not_annotated"] == ["images/unmarked.jpg"]
    assert report["orphan_masks"] == ["EX/nobody.png"]
    assert report["overlapping"]["photographs"] == 2  # of those used, new_a and new_b have both
    assert report["kinds"]["microaneurysms"]["components"] == {"in_photographs": 5, "on_canvases": 5}
    assert (report["kinds"]["hard_exudates"]["annotated"], report["kinds"]["hard_exudates"]["showing"]) == (5, 2)
    warnings = "\n".join(report["warnings"])
    assert "the patients of 5 of 5 photographs are unknown" in warnings
    for expected in ("without any mask", "masks without a photograph", "stored turned", "new_c_turned", "some folds"):
        assert expected in warnings


def test_another_photograph_of_a_tested_patient_is_left_out(
    grading: GradingSet, outlined: Path, tmp_path: Path
) -> None:
    """g4's patient is that of a test photograph now, so that the copy of g3 has to go if they are one patient."""
    audited = [replace(row, patient_id="P" if row.image_id in ("g2", "g3") else "") for row in grading.audited]
    report = prepared(replace(grading, audited=audited), tmp_path, data(outlined, folds=2))
    assert "identical_to_g3" in report["left_out"][OF_TEST_PART]


def with_grade_0(grading: GradingSet) -> GradingSet:
    """All of its photographs are of grade 0 now; only g4 is neither tested nor outlined."""
    return replace(grading, splits=[replace(row, grade=0) for row in grading.splits])


def test_healthy_eyes_of_the_training_part_are_annotated_and_show_nothing(
    grading: GradingSet, outlined: Path, tmp_path: Path
) -> None:
    report = prepared(with_grade_0(grading), tmp_path, data(outlined, healthy=1))
    assert (report["photographs"]["used"], report["photographs"]["healthy"]) == (5, 1)
    store = LesionStore(tmp_path / "store")
    row = store.rows["healthy_g4"]
    assert (row.group, row.pixels_of) == ("healthy_g4", {"microaneurysms": 0, "hard_exudates": 0})
    canvas = store.read("healthy_g4")
    assert canvas.labelled == {"microaneurysms", "hard_exudates"}
    assert canvas.pixels.mean() > 20
    assert not canvas.masks.any()


def test_fewer_healthy_eyes_than_asked_for_are_a_warning(grading: GradingSet, outlined: Path, tmp_path: Path) -> None:
    report = prepared(with_grade_0(grading), tmp_path, data(outlined, healthy=2))
    assert (report["photographs"]["used"], report["photographs"]["healthy"]) == (5, 1)
    assert "1 photographs of grade 0 were found for `healthy: 2`" in report["warnings"]
    report = prepared(grading, tmp_path, data(outlined, healthy=1))
    assert report["photographs"]["healthy"] == 0


def test_no_healthy_eye_of_an_outlined_patient_is_drawn(grading: GradingSet, outlined: Path, tmp_path: Path) -> None:
    whole = with_grade_0(grading)
    assert [row.patient_id for row in whole.splits if row.image_id == "g4"] == ["P2"]
    splits = [replace(row, patient_id="b" if row.image_id == "g4" else row.patient_id) for row in whole.splits]
    masks = data(outlined).masks.model_dump(mode="json") | {"name_pattern": "new_(?P<patient>b)"}
    report = prepared(replace(whole, splits=splits), tmp_path, data(outlined, healthy=1, masks=masks))
    assert report["photographs"]["healthy"] == 0


def test_a_photograph_that_was_annotated_for_no_learned_kind_is_left_out(
    grading: GradingSet, outlined: Path, tmp_path: Path
) -> None:
    """Only every second photograph has a file of exudates; without this rule its batches may hold nothing to learn."""
    folders = {"microaneurysms": "MA", "hard_exudates": "EX"}
    masks = {"photographs": "images", "folders": folders, "without_file": "not_annotated"}
    section = data(outlined, kinds=["hard_exudates"], masks=masks, folds=2)
    report = prepared(grading, tmp_path, section)
    assert report["left_out"][NOT_LEARNED] == ["copy_of_test", "identical_to_g3", "new_a_again", "new_c_turned"]
    assert report["photographs"]["with_masks"] == 8
    assert report["photographs"]["left_out"][NOT_LEARNED] == 4
    assert {row.labelled for row in LesionStore(tmp_path / "store").rows.values()} == {"hard_exudates"}
    with pytest.raises(
        DataError, match=r"2 groups of photographs are left for 3 folds; left out: .*4 annotated for none"
    ):
        prepared(grading, tmp_path, section.model_copy(update={"folds": 3}))


def test_a_photograph_that_was_withdrawn_leaves_the_folder(grading: GradingSet, outlined: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(outlined, tmp_path / "outlined"))
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "somebody.png").write_bytes(b"x")  # not a store yet
    prepared(grading, tmp_path, data(root, folds=2))
    assert {"somebody.png", "new_b.png", "new_b_masks.png"} <= {path.name for path in folder.iterdir()}
    (folder / ".new_b.png.abc.part").write_bytes(b"x")  # of a run that was killed
    (root / "images" / "new_b.jpg").unlink()
    prepared(grading, tmp_path, data(root, folds=2))
    rows = LesionStore(folder).rows
    pictures = {f"{name}{end}.png" for name in rows for end in ("", "_masks")}
    assert "new_b" not in rows
    assert {path.name for path in folder.iterdir()} == {INDEX, PIXEL_PATH, *pictures}


def test_the_eyes_of_one_patient_are_in_one_fold_where_names_tell_patients(
    grading: GradingSet, outlined: Path, tmp_path: Path
) -> None:
    masks = data(outlined).masks.model_dump(mode="json") | {"name_pattern": "(?P<patient>new)_[ab]|(?P<eye>left)"}
    report = prepared(grading, tmp_path, data(outlined, folds=2, masks=masks))
    rows = LesionStore(tmp_path / "store").rows
    together = {rows[name].fold for name in ("new_a", "new_a_again", "new_b")}
    assert len(together) == 1
    assert report["photographs"]["groups"] == 3
    assert "the patients of 2 of 5 photographs are unknown: the two eyes of one may be" in " ".join(report["warnings"])


def test_the_other_eye_of_a_tested_patient_is_left_out(grading: GradingSet, outlined: Path, tmp_path: Path) -> None:
    audited = [replace(row, patient_id="b" if row.image_id == "g2" else row.patient_id) for row in grading.audited]
    masks = data(outlined).masks.model_dump(mode="json") | {"name_pattern": "new_(?P<patient>b)"}
    report = prepared(replace(grading, audited=audited), tmp_path, data(outlined, folds=2, masks=masks))
    assert report["left_out"][OF_TEST_PART] == ["copy_of_test", "eye_of_test", "new_b"]


def test_too_few_groups_are_an_error_that_says_what_was_left_out(
    grading: GradingSet, outlined: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="4 groups of photographs are left for 6 folds; left out: 2 in the grading"):
        prepared(grading, tmp_path, data(outlined, folds=6))
    assert not (tmp_path / "store").exists()


def test_a_kind_that_is_nowhere_is_an_error(grading: GradingSet, outlined: Path, tmp_path: Path) -> None:
    kinds = ["microaneurysms", "irma"]
    with pytest.raises(DataError, match="annotated in no photograph: irma") as caught:
        prepared(grading, tmp_path, data(outlined, kinds=kinds))
    assert "annotated are hard_exudates, microaneurysms" in str(caught.value)
    folders = {"microaneurysms": "MA", "irma": "Irma"}
    masks = {"photographs": "images", "folders": folders, "without_file": "not_annotated"}
    with pytest.raises(DataError, match=r"annotated in no photograph: irma; folders .* missing or empty.*Irma"):
        prepared(grading, tmp_path, data(outlined, kinds=kinds, masks=masks))
    (outlined / "Irma").mkdir()
    (outlined / "Irma" / "another.png").write_bytes(encode(np.zeros((SIDE, SIDE), np.uint8), ".png"))
    with pytest.raises(DataError, match=r"annotated in no photograph: irma; masks without a photograph: Irma/another"):
        prepared(grading, tmp_path, data(outlined, kinds=kinds, masks=masks))
    (outlined / "IRMA").mkdir()
    (outlined / "IRMA" / "new_a.png").write_bytes(encode(np.zeros((SIDE, SIDE), np.uint8), ".png"))
    folders = {"microaneurysms": "MA", "irma": "IRMA"}
    masks = {"photographs": "images", "folders": folders, "without_file": "not_annotated"}
    with pytest.raises(DataError, match="shown by none of the 5 photographs: irma"):
        prepared(grading, tmp_path, data(outlined, kinds=kinds, masks=masks))
    assert not (tmp_path / "store" / INDEX).exists()


def test_the_stage_from_files_to_files(grading: GradingSet, outlined: Path, tmp_path: Path) -> None:
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    section = {"data": yaml.safe_load(data(outlined).model_dump_json())}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document | {"lesions": {"clinic": section}}))
    write_manifest(tmp_path / "audited.csv", grading.audited)
    write_splits(tmp_path / "splits.csv", grading.splits)
    words = ["--root", grading.store.root.parent, "--canvases", grading.store.root]
    for name in ("params.yaml", "audited.csv", "splits.csv", "out", "report.json", "scratch"):
        words += [f"--{name.partition('.')[0]}", tmp_path / name]
    assert main(["lesion-canvases", "--name", "clinic", "--workers", "1", *map(str, words)]) == 0
    rows = read_lesion_index(tmp_path / "out" / INDEX)
    assert len(rows) == read_json(tmp_path / "report.json")["lesion_canvases"]["clinic"]["photographs"]["used"] == 5
    for path in (tmp_path / "out", tmp_path / "out" / INDEX, tmp_path / "out" / "new_a.png", tmp_path / "scratch"):
        assert not path.stat().st_mode & 0o077, path
    write_lesion_index(tmp_path / "again.csv", rows)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out" / INDEX).read_bytes()


def test_the_kinds_of_params_yaml_are_those_of_masks() -> None:
    assert KindName.__args__ == tuple(kind.name for kind in KINDS)  # type: ignore[attr-defined]
