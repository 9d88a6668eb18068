"""The arms of the lesion-grading benchmark: who takes part, what a network sees, and what is fitted on what."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks import lesion_grading as bench
from dr_pipeline.bundle.bundle_files import LESIONS
from dr_pipeline.bundle.lesions import LesionDescription, LesionModel
from dr_pipeline.evaluation.lesion_figures import fit_operating_points
from dr_pipeline.evaluation.lesion_validation import lesion_evidence
from dr_pipeline.experiments.fold_results import FoldResult
from dr_pipeline.experiments.nested_folds import NestedFold
from dr_pipeline.files import read_json, sha256_file, write_json
from dr_pipeline.lesions.count import Counting
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.segmenter import segmenter_from_params
from dr_pipeline.models.segmenter_files import ALL, SegmenterSpec, network_name, write_network, write_spec
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.training import Training
from dr_pipeline.splitting.groups import Group, Photograph
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import SplitRow
from tests.factories import REPOSITORY
from tests.factories.bundles import photograph
from tests.factories.lesion_sets import CANVAS_PX, KINDS, draw, training, write_store

IMAGE_IDS = [f"p{number:02}" for number in range(75)]


def work_folder(folder: Path) -> Path:
    """What `prepare` writes, of an untrained network of lesions."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["candidates"]["lite0"] |= {"model": "resnet10t", "weights": "none"}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    write_manifest(
        folder / "audited.csv",
        [ManifestRow(image_id=image_id, path=image_id, grade=number % 5) for number, image_id in enumerate(IMAGE_IDS)],
    )
    choice = {
        "photographs_with_grade": 75,
        "of_the_set_with_masks": [],
        "image_ids": IMAGE_IDS,
        "cameras": ["warm", "blur"],
    }
    write_json(folder / "photographs.json", choice)
    write_spec(folder / "segmenter", SegmenterSpec(KINDS, training(), 2, CANVAS_PX, 100.0, ""))
    network, _ = segmenter_from_params(training(), len(KINDS))
    write_network(folder / "segmenter", ALL, network.state_dict())
    return folder


class DrawnMaps:
    """In place of lesions.onnx: the same maps, whatever it is shown."""

    def __init__(self, maps: np.ndarray) -> None:
        names = [kind.name for kind in KINDS]
        half = dict.fromkeys(names, 0.5)
        counting = Counting(KINDS, half, dict.fromkeys(names, 1), half, 100.0)
        self.description = LesionDescription(counting, CANVAS_PX, CANVAS_PX, 0.0, {})
        self.maps, self.seen = maps, list[np.ndarray]()

    def probabilities(self, canvas: np.ndarray) -> np.ndarray:
        self.seen.append(canvas)
        return self.maps


def split_rows(grades: list[int]) -> tuple[SplitRow, ...]:
    group = Group("", tuple(Photograph(f"p{number}", "", "", grade) for number, grade in enumerate(grades)))
    return tuple(replace(row, group=row.image_id) for row in group.rows("development", 0))


def test_the_eyes_of_photographs_with_masks_take_no_part() -> None:
    one, other, third = (Photograph(name, "", "", 0) for name in ("a", "b", "c"))
    groups = [Group("eye", (one, other)), Group("c", (third,))]
    assert bench.unseen(groups, {"b"}) == [groups[1]]


def test_the_network_of_a_fold_is_exported_with_its_thresholds(tmp_path: Path) -> None:
    store = write_store(tmp_path / "lesions" / "canvases")
    spec = SegmenterSpec(KINDS, training(), 2, CANVAS_PX, 100.0, sha256_file(store.index_path))
    network, _ = segmenter_from_params(training(), len(KINDS))
    write_spec(tmp_path / "lesions" / "models", spec)
    write_network(tmp_path / "lesions" / "models", network_name(1), network.state_dict())
    bench.export_fold(tmp_path / "lesions", 1, tmp_path / "work")
    described = LesionModel((tmp_path / "work" / LESIONS).read_bytes(), threads=1).description
    assert described.counting.kinds == KINDS
    evidence = lesion_evidence(store, tmp_path / "lesions" / "models", spec, folds=[1])
    assert described.counting.thresholds == fit_operating_points(evidence, KINDS).thresholds


def test_planes_change_nothing_before_training_and_are_learned() -> None:
    grader = create_grader("resnet10t", input_px=64, drop_rate=0.0, drop_path_rate=0.0).eval()
    image = torch.randint(0, 256, (2, 64, 64, 5), dtype=torch.uint8)
    before = grader(image[..., :3])
    bench.add_planes(grader, 2)
    after = grader(image)
    torch.testing.assert_close(after, before)
    after.sum().backward()
    assert grader.backbone.conv1[0].weight.grad[:, 3:].abs().sum() > 0


def test_planes_move_with_the_photograph() -> None:
    params = load_section(REPOSITORY / "params.yaml", "training", Training).augmentation
    unlit = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    augment = bench.augmentation(params.model_copy(update=unlit | {"camera": 1.0}))
    _, masks = draw(1, dots=3)
    shown = np.where(masks > 0, np.uint8(255), np.uint8(0))
    for seed in range(12):  # cameras that narrow the field or cut it off among them
        moved = augment(np.dstack([shown] * 4), seed)
        assert not np.array_equal(moved[..., 3], shown)
        assert np.corrcoef(moved[..., 1].ravel(), moved[..., 3].ravel())[0, 1] > 0.85
        assert np.array_equal(augment(np.dstack([shown] * 3), seed), moved[..., :3])


def test_every_camera_has_maps_of_its_own_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.SCHEDULE, "input_px", 64)
    work = work_folder(tmp_path)
    _, masks = draw(2, dots=2)
    model = DrawnMaps(np.stack([(masks >> kind.bit & 1).astype(np.float32) for kind in KINDS]))
    monkeypatch.setattr(bench, "_lesion_model", lambda _work: model)
    (tmp_path / "p00.jpg").write_bytes(photograph(0, side_px=256))
    bench.write_inputs(work, tmp_path, ManifestRow(image_id="p00", path="p00.jpg", grade=0))
    assert len({pixels.tobytes() for pixels in model.seen}) == 3
    stored = bench.Inputs(work, "warm", planes=True).read("p00")
    assert stored.shape == (64, 64, 5)
    assert stored[..., 3:].max() == 255
    row = split_rows([0])[0]
    measures = bench.features_of(work, [replace(row, image_id="p00")], "clean")[0]
    counts_and_areas = [number for plane in model.maps for number in (2, plane.sum())]
    np.testing.assert_allclose(np.expm1(measures), counts_and_areas, rtol=1e-5)


def test_the_stack_weighs_lesions_and_no_photograph_fits_its_own_prediction() -> None:
    rng = np.random.default_rng(3)
    rows = split_rows([number % 5 for number in range(60)])
    nested = NestedFold(0, rows, rows, rows)
    noise = rng.normal(size=(60, 5)).astype(np.float32)
    grader = FoldResult(noise, noise, {}, {"warm": noise})

    def measured(of: tuple[SplitRow, ...], _view: str) -> np.ndarray:
        return np.array([[row.grade + 0.1 * index % 0.3] for index, row in enumerate(of)])

    found = bench.stacked(nested, grader, measured)
    assert np.corrcoef(found.outer.argmax(1), [row.grade for row in rows])[0, 1] > 0.8
    others = [replace(row, grade=0) if row.image_id == "p7" else row for row in rows]
    changed = bench.stacked(NestedFold(0, rows, tuple(others), rows), grader, lambda of, view: measured(rows, view))
    np.testing.assert_allclose(changed.validation[7], found.validation[7], atol=1e-6)
    assert not np.allclose(changed.outer[7], found.outer[7])


def test_trainings_are_joined_to_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.SCHEDULE, "input_px", 32)
    monkeypatch.setattr(bench, "_lesion_model", lambda _work: DrawnMaps(np.empty(0)))
    monkeypatch.setattr(bench, "EVALUATION", bench.EVALUATION.model_copy(update={"bootstrap_replicates": 20}))
    work, rng = work_folder(tmp_path), np.random.default_rng(0)
    shape = (3, 32, 32)
    (work / "inputs").mkdir()
    (work / "measures").mkdir()
    for image_id in IMAGE_IDS:
        pixels, planes = (rng.integers(0, 256, (*shape, number), np.uint8) for number in (3, 2))
        np.savez(work / "inputs" / f"{image_id}.npz", pixels=pixels, planes=planes)
        np.save(work / "measures" / f"{image_id}.npy", rng.random((3, 4), np.float32))
    step = argparse.Namespace(
        work=work, fold=0, seed=20, seeds=[20], epochs=1, arms=bench.NETWORKS, out=tmp_path / "out.json"
    )
    folds = bench.folds_of(work)
    monkeypatch.setattr(bench, "folds_of", lambda _work: folds[:1])
    monkeypatch.setattr(bench, "NUM_FOLDS", 1)
    with pytest.raises(SystemExit, match="train grader, fold 0, seed 20"):
        bench.join(step)
    for arm in bench.NETWORKS:
        step.arm = arm
        bench.train(step)
    bench.join(step)
    report = read_json(step.out)
    assert set(report["arms"]) == {*bench.NETWORKS, "counts", "stacked"}
    assert {arm["figures"]["n"] for arm in report["arms"].values()} == {15}
    assert report["arms"]["grader"]["qwk_minus_grader"]["value"] == 0
    assert set(report["arms"]["stacked"]["shifts"]["cameras"]) == {"warm", "blur"}
