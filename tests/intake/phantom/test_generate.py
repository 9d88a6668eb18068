"""The phantom on disk: layout, determinism, and planted faults that match the ground truth."""

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.generate import PHANTOM_LABELS, write_phantom
from dr_pipeline.intake.phantom.non_fundus import NON_FUNDUS_KINDS, draw_non_fundus
from dr_pipeline.lesions.kinds import HEMORRHAGES, KINDS, MICROANEURYSMS, OPTIC_DISC, plane
from dr_pipeline.params.phantom_params import Phantom, PlantedFaults

pytestmark = pytest.mark.slow

PARAMS = Phantom(
    seed=4,
    patients=24,
    grade_shares=(0.36, 0.14, 0.22, 0.14, 0.14),
    megapixels=0.08,
    faults=PlantedFaults(
        exact_duplicates=3,
        near_duplicates=5,
        cross_patient=2,
        contradictions=2,
        exif_turns=4,
        colour_order=2,
        not_fundus=6,
    ),
)
NUM_ADDED = 18


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "default"
    write_phantom(PARAMS, out, workers=1)
    return out


@pytest.fixture(scope="module")
def truth(phantom: Path) -> dict[str, Any]:
    return read_json(phantom / "ground_truth.json")


@pytest.fixture(scope="module")
def labels(phantom: Path) -> dict[str, dict[str, str]]:
    with (phantom / "labels.csv").open(encoding="utf-8", newline="") as stream:
        return {row["image"]: row for row in csv.DictReader(stream)}


def path(phantom: Path, image_id: str) -> Path:
    return phantom / "photographs" / f"{image_id}.jpg"


def pixels(file: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    picture = cv2.imread(str(file), flags)
    assert picture is not None
    return picture


def hashes(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): sha256_file(f) for f in sorted(folder.rglob("*")) if f.is_file()}


def test_the_folder_holds_photographs_labels_truth_and_nothing_else(
    phantom: Path, labels: dict[str, dict[str, str]], truth: dict[str, Any]
) -> None:
    names = ["ground_truth.json", "labels.csv", "lesion_masks", "photographs"]
    assert sorted(p.name for p in phantom.iterdir()) == names
    files = {p.name for p in (phantom / "photographs").iterdir()}
    assert files == set(labels) == {f"{image_id}.jpg" for image_id in truth["photographs"]}
    assert len(files) == 2 * PARAMS.patients + NUM_ADDED
    assert all(tuple(row) == PHANTOM_LABELS.columns for row in labels.values())
    assert list(phantom.parent.iterdir()) == [phantom]  # no temporary folder left


def test_equal_bytes_with_any_number_of_processes(phantom: Path, tmp_path: Path) -> None:
    write_phantom(PARAMS, tmp_path / "again", workers=2)
    assert hashes(tmp_path / "again") == hashes(phantom)


def test_another_seed_gives_other_photographs(phantom: Path, tmp_path: Path) -> None:
    small = PARAMS.model_copy(
        update={"patients": 1, "seed": 5, "faults": PlantedFaults(**dict.fromkeys(PlantedFaults.model_fields, 0))}
    )
    write_phantom(small, tmp_path / "other", workers=1)
    assert sha256_file(path(tmp_path / "other", "p0001_left")) != sha256_file(path(phantom, "p0001_left"))


def test_labels_say_the_truth_but_for_planted_faults(labels: dict[str, dict[str, str]], truth: dict[str, Any]) -> None:
    wrong = {i for i, entry in truth["photographs"].items() if str(entry["grade"]) != labels[f"{i}.jpg"]["grade"]}
    not_fundus = {fault["image"] for fault in truth["faults"]["not_fundus"]}
    assert wrong == {fault["copy"] for fault in truth["faults"]["contradictions"]} | not_fundus
    strangers = {i for i, e in truth["photographs"].items() if e["patient"] != labels[f"{i}.jpg"]["patient"]}
    assert strangers == {fault["copy"] for fault in truth["faults"]["cross_patient"]}
    assert {row["camera"] for row in labels.values()} <= set(CAMERAS)


def test_as_many_faults_as_asked_each_on_its_own_photograph(truth: dict[str, Any]) -> None:
    faults = truth["faults"]
    assert {kind: len(found) for kind, found in faults.items()} == PARAMS.faults.model_dump()
    touched = [f.get("original", f.get("image")) for found in faults.values() for f in found]
    assert len(touched) == len(set(touched))
    own = set(touched) - {fault["image"] for fault in faults["not_fundus"]}
    assert not any(truth["photographs"][image_id]["ungradable"] for image_id in own)


@pytest.mark.parametrize("kind", ["exact_duplicates", "cross_patient", "contradictions"])
def test_identical_copies_have_equal_pixels(phantom: Path, truth: dict[str, Any], kind: str) -> None:
    ways = set()
    for fault in truth["faults"][kind]:
        original, copy = path(phantom, fault["original"]), path(phantom, fault["copy"])
        assert np.array_equal(pixels(original), pixels(copy))
        assert (sha256_file(original) == sha256_file(copy)) == (fault["way"] == "bytes")
        ways.add(fault["way"])
    assert ways == {"bytes", "resaved"}


def test_near_duplicates_look_alike_and_are_not_identical(phantom: Path, truth: dict[str, Any]) -> None:
    ways = set()
    for fault in truth["faults"]["near_duplicates"]:
        original, copy = pixels(path(phantom, fault["original"])), pixels(path(phantom, fault["copy"]))
        assert original.shape != copy.shape or not np.array_equal(original, copy)
        thumbnails = [
            cv2.resize(p, (24, 24), interpolation=cv2.INTER_AREA).astype(float).ravel() for p in (original, copy)
        ]
        assert np.corrcoef(*thumbnails)[0, 1] > 0.97
        ways.add(fault["way"])
    assert ways == {"recompressed", "resized", "cropped", "brightened", "turned"}


def test_turned_pictures_are_upright_to_a_viewer_that_reads_exif(phantom: Path, truth: dict[str, Any]) -> None:
    for fault in truth["faults"]["exif_turns"]:
        entry, file = truth["photographs"][fault["image"]], path(phantom, fault["image"])
        upright, stored = pixels(file), pixels(file, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert upright.shape[:2] == (entry["height"], entry["width"])
        assert not (upright.shape == stored.shape and np.array_equal(upright, stored))
        # The optic disc lies where the truth has it, brighter than the fovea.
        green = cv2.GaussianBlur(upright[..., 1], (0, 0), 3)
        disc, fovea = (green[round(entry[k]["y"]), round(entry[k]["x"])] for k in ("optic_disc", "fovea"))
        assert disc > fovea + 20


def test_exchanged_colours_are_the_photograph_with_red_for_blue(
    phantom: Path, truth: dict[str, Any], tmp_path: Path
) -> None:
    none = PlantedFaults(**dict.fromkeys(PlantedFaults.model_fields, 0))
    write_phantom(PARAMS.model_copy(update={"faults": none}), tmp_path / "clean", workers=1)
    for fault in truth["faults"]["colour_order"]:
        stored, meant = (pixels(path(folder, fault["image"])).astype(int) for folder in (phantom, tmp_path / "clean"))
        assert np.abs(stored[..., ::-1] - meant).mean() < 4  # but for JPEG, which keeps less of red and blue
        assert stored[..., 0].mean() > stored[..., 2].mean() + 20  # cv2 reads blue first
    # What has no fault of its own is the same with and without the others' faults.
    faults = truth["faults"]
    changed = {f["image"] for kind in ("exif_turns", "colour_order") for f in faults[kind]}
    with_faults, clean = hashes(phantom / "photographs"), hashes(tmp_path / "clean" / "photographs")
    assert {name for name, digest in clean.items() if with_faults[name] != digest} == {f"{i}.jpg" for i in changed}


def test_images_of_no_fundus_are_of_every_kind_and_marked(phantom: Path, truth: dict[str, Any]) -> None:
    assert {fault["kind"] for fault in truth["faults"]["not_fundus"]} == set(NON_FUNDUS_KINDS)
    for fault in truth["faults"]["not_fundus"]:
        entry = truth["photographs"][fault["image"]]
        assert (entry["grade"], entry["not_fundus"]) == (None, fault["kind"])
        assert min(pixels(path(phantom, fault["image"])).shape[:2]) > 200


def test_images_of_no_fundus_differ_from_each_other() -> None:
    for kind in NON_FUNDUS_KINDS:
        first, second = (draw_non_fundus(np.random.default_rng(seed), kind, 300, 200) for seed in (1, 2))
        assert first.shape == (200, 300, 3)
        assert np.array_equal(first, draw_non_fundus(np.random.default_rng(1), kind, 300, 200))
        assert np.abs(first.astype(int) - second).mean() > 8


def test_without_lesions_all_else_stays(phantom: Path, truth: dict[str, Any], tmp_path: Path) -> None:
    write_phantom(PARAMS, tmp_path / "bare", without_lesions=True, workers=1)
    bare = read_json(tmp_path / "bare" / "ground_truth.json")
    assert bare["faults"] == truth["faults"]
    assert (tmp_path / "bare" / "labels.csv").read_bytes() == (phantom / "labels.csv").read_bytes()
    with_lesions, without = hashes(phantom), hashes(tmp_path / "bare")
    for image_id, entry in bare["photographs"].items():
        assert entry["lesions"] == {}
        name = f"photographs/{image_id}.jpg"
        if entry["grade"] is None:  # no eye, no lesions
            assert with_lesions[name] == without[name]
            continue
        assert (with_lesions[name] == without[name]) == (truth["photographs"][image_id]["grade"] == 0)


def test_an_earlier_phantom_is_replaced_and_anything_else_left_alone(tmp_path: Path) -> None:
    one = PARAMS.model_copy(
        update={"patients": 1, "faults": PlantedFaults(**dict.fromkeys(PlantedFaults.model_fields, 0))}
    )
    write_phantom(one, tmp_path / "out", workers=1)
    (tmp_path / "out" / "stale.txt").write_text("stale")
    write_phantom(one, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "stale.txt").exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not a phantom"):
        write_phantom(one, precious, workers=1)
    assert (precious / "thesis.txt").read_text() == "mine"


def test_more_faults_than_photographs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="do not fit"):
        write_phantom(PARAMS.model_copy(update={"patients": 2}), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_every_eye_has_masks_of_its_upright_photograph(phantom: Path, truth: dict[str, Any]) -> None:
    copies = {fault["copy"] for kind in truth["faults"].values() for fault in kind if "copy" in fault}
    eyes = {
        image_id: entry
        for image_id, entry in truth["photographs"].items()
        if "not_fundus" not in entry and image_id not in copies
    }
    assert {mask.stem for mask in (phantom / "lesion_masks").iterdir()} == set(eyes)
    for image_id, entry in eyes.items():
        masks = pixels(phantom / "lesion_masks" / f"{image_id}.png", cv2.IMREAD_UNCHANGED)
        assert masks.dtype == np.uint16
        assert masks.shape == (entry["height"], entry["width"])
        shown = {kind for kind in KINDS if plane(masks, kind).any()}
        assert {MICROANEURYSMS, HEMORRHAGES} & shown == {
            kind
            for kind, name in ((MICROANEURYSMS, "microaneurysms"), (HEMORRHAGES, "haemorrhages"))
            if entry["lesions"].get(name)
        }
        assert OPTIC_DISC in shown
