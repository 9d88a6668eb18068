"""lesions.onnx is of one run: points that were fitted on other networks, or other canvases, are refused."""

from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.bundle.lesions import LesionModel
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.deployment.export_lesions import export_lesions, read_points
from dr_pipeline.errors import BundleError, DataError, GateError
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.models.segmenter import segmenter_from_params
from dr_pipeline.models.segmenter_files import (
    ALL,
    SegmenterSpec,
    network_hashes,
    read_spec,
    write_network,
    write_spec,
)
from tests.factories.lesion_sets import CANVAS_PX, KINDS, training, write_store

pytestmark = pytest.mark.slow


POINTS = {
    "thresholds": {"irma": 0.5},
    "min_pixels": {"irma": 3},
    "min_peaks": {"irma": 1},
    "networks": {"model.json": "ab"},
}


def points(root: Path, **changes: Any) -> dict[str, Any]:
    names = [kind.name for kind in KINDS]
    half, one = dict.fromkeys(names, 0.5), dict.fromkeys(names, 1)
    stated = {"thresholds": half, "min_pixels": one, "min_peaks": half, "networks": network_hashes(root / "models")}
    return stated | changes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Canvases, and untrained networks of them."""
    store = write_store(tmp_path / "canvases")
    params = training()
    network, _ = segmenter_from_params(params, len(KINDS))
    for name in (ALL, "fold-0", "fold-1"):
        write_network(tmp_path / "models", name, network.state_dict())
    spec = SegmenterSpec(KINDS, params, 2, CANVAS_PX, 100.0, sha256_file(store.index_path))
    write_spec(tmp_path / "models", spec)
    return tmp_path


def export(root: Path, stated: dict[str, Any], spec: SegmenterSpec | None = None) -> None:
    networks = root / "models"
    store = LesionStore(root / "canvases")
    export_lesions(networks, spec or read_spec(networks), stated, store, root / "lesions.onnx")


@pytest.mark.parametrize("changed", ["fold-1.safetensors", "model.json"])
def test_points_of_other_networks_are_refused(root: Path, changed: str) -> None:
    stated = points(root)
    export(root, stated)
    (root / "models" / changed).write_bytes((root / "models" / changed).read_bytes() + b" ")
    with pytest.raises(
        GateError, match=rf"fitted on other networks; of these differ {changed}\n(.|\n)*validate-lesions"
    ):
        export(root, stated)


def test_points_of_another_network_of_all_photographs_are_refused(root: Path) -> None:
    stated = points(root)
    network, _ = segmenter_from_params(training(seed=8), len(KINDS))
    write_network(root / "models", ALL, network.state_dict())
    with pytest.raises(GateError, match=r"fitted on other networks; of these differ all.safetensors\n"):
        export(root, stated)


def test_a_damaged_network_is_named_before_its_hash_is_compared(root: Path) -> None:
    stated = points(root)
    weights = root / "models" / "all.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"not a weights file(.|\n)*run `dvc repro train-lesions`"):
        export(root, stated)


def test_points_of_more_networks_are_refused(root: Path) -> None:
    stated = points(root)
    (root / "models" / "fold-1.safetensors").unlink()
    with pytest.raises(GateError, match=r"differ fold-1.safetensors"):
        export(root, stated)


def test_points_without_their_networks_are_of_an_earlier_version(root: Path) -> None:
    stated = points(root)
    del stated["networks"]
    write_json(root / "points.json", stated)
    with pytest.raises(DataError, match=r"earlier version(.|\n)*points.json(.|\n)*run `dvc repro validate-lesions`"):
        read_points(root / "points.json")


def test_points_are_read_as_they_were_written(root: Path) -> None:
    stated = points(root, aupr={})
    write_json(root / "points.json", stated)
    assert read_points(root / "points.json") == stated


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ([], "thresholds"),
        ("points", "thresholds"),
        ({"lesions": {"own": {}}}, "thresholds"),  # the report in place of the points
        ({"thresholds": {"irma": 0.5}}, "min_pixels"),
        ({**POINTS, "thresholds": {"irma": "0.5"}}, "thresholds"),
        ({**POINTS, "thresholds": {"irma": 1.5}}, "thresholds"),
        ({**POINTS, "thresholds": {"irma": True}}, "thresholds"),
        ({**POINTS, "min_pixels": {"irma": 0}}, "min_pixels"),
        ({**POINTS, "min_pixels": {"irma": 2.5}}, "min_pixels"),
        ({**POINTS, "min_peaks": {"irma": None}}, "min_peaks"),
        ({**POINTS, "aupr": [1]}, "aupr"),
        ({**POINTS, "aupr": {"irma": 0.5}}, "aupr"),
        ({**POINTS, "networks": {"model.json": 1}}, "networks"),
    ],
)
def test_a_file_that_holds_no_points_is_named(tmp_path: Path, written: Any, named: str) -> None:
    write_json(tmp_path / "points.json", POINTS)
    assert read_points(tmp_path / "points.json") == POINTS
    write_json(tmp_path / "points.json", written)
    with pytest.raises(DataError, match=f"no operating points of lesions: '{named}' should be") as caught:
        read_points(tmp_path / "points.json")
    assert caught.value.where == str(tmp_path / "points.json")
    assert caught.value.todo == "run `dvc repro validate-lesions`"


def test_networks_of_other_canvases_are_refused(root: Path) -> None:
    stated = points(root)
    write_store(root / "canvases", photographs=7)
    with pytest.raises(GateError, match=r"trained on other canvases(.|\n)*run `dvc repro train-lesions`"):
        export(root, stated)
    assert not (root / "lesions.onnx").exists()


@pytest.mark.parametrize("fault", ["parity", "reader"])
def test_a_refused_network_leaves_the_one_before(root: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    export(root, points(root))
    before = (root / "lesions.onnx").read_bytes()
    network, _ = segmenter_from_params(training(seed=8), len(KINDS))
    write_network(root / "models", ALL, network.state_dict())
    if fault == "parity":
        monkeypatch.setattr("dr_pipeline.deployment.export_lesions.MAX_PROBABILITY_DIFFERENCE", -1.0)
    stated = points(root) if fault == "parity" else points(root, thresholds={kind.name: 2.0 for kind in KINDS})
    with pytest.raises(GateError if fault == "parity" else BundleError):
        export(root, stated)
    assert (root / "lesions.onnx").read_bytes() == before
    assert {path.name for path in root.iterdir()} == {"canvases", "models", "lesions.onnx"}
    monkeypatch.undo()
    export(root, points(root))
    assert (root / "lesions.onnx").read_bytes() != before


def test_what_is_exported_states_the_points(root: Path) -> None:
    export(root, points(root))
    described = LesionModel((root / "lesions.onnx").read_bytes(), threads=1).description
    assert described.counting.kinds == KINDS
    assert described.counting.thresholds == {kind.name: 0.5 for kind in KINDS}
