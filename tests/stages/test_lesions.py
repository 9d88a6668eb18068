"""The stages train-, validate- and export-lesions, from files to files; and an interrupted training."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from dr_pipeline.bundle.lesions import LesionModel, read_lesions
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.cli import EXIT_USER_ERROR, main
from dr_pipeline.errors import GateError
from dr_pipeline.evaluation.lesion_evidence import segment
from dr_pipeline.files import read_json, write_json
from dr_pipeline.models.segmenter_files import network_name, read_network, read_spec
from dr_pipeline.tables.lesion_history import LesionEpoch
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.lesions.cross_validation import train_networks
from dr_pipeline.training.lesions.lesion_data import lesion_data
from dr_pipeline.training.lesions.train_lesions import checkpoint_key, train_lesions
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle
from tests.factories.lesion_sets import CANVAS_PX, KINDS, training, write_store

pytestmark = pytest.mark.slow

DATA = {
    "adapter": "idrid_segmentation",
    "root": "/archive/idrid",
    "kinds": [kind.name for kind in KINDS],
    "canvas_px": CANVAS_PX,
    "field_degrees": 45.0,
    "folds": 2,
    "seed": 3,
}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DR_PIPELINE_TRACKING", "off")
    write_store(tmp_path / "canvases")
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    entry = {"data": DATA, "training": training().model_dump(mode="json")}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document | {"lesions": {"own": entry}}))
    return tmp_path


def test_from_canvases_to_lesions_onnx(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = ["--name", "own", "--params", "params.yaml", "--canvases", "canvases"]
    assert main(["train-lesions", *named, "--out", "models", "--report", "training.json", "--scratch", "scratch"]) == 0
    assert "fold-0, epoch 2/2: loss" in capsys.readouterr().err
    assert not (workplace / "scratch" / "lesions-own-training").exists()
    networks = read_json(Path("training.json"))["lesion_training"]["own"]["networks"]
    assert {name: one["photographs"] for name, one in networks.items()} == {"fold-0": 3, "fold-1": 3, "all": 6}

    assert main(["validate-lesions", *named, "--models", "models", "--out", "points.json", "--report", "own.json"]) == 0
    figures = read_json(Path("own.json"))["lesions"]["own"]
    assert figures["photographs"] == 6
    assert figures["machine"]["cpu"]
    assert "Not a medical device" in figures["research_use"]
    for kind in KINDS:
        assert set(figures["kinds"][kind.name]["aupr"]) >= {"value", "low", "high", "n"}

    export = ["--models", "models", "--points", "points.json", "--canvases", "canvases", "--out", "lesions.onnx"]
    assert main(["export-lesions", *export]) == 0
    scoring = LesionModel(Path("lesions.onnx").read_bytes(), threads=1)
    described = scoring.description
    assert described.counting.kinds == KINDS
    assert (described.canvas_px, described.tile_px, described.overlap) == (CANVAS_PX, 64, 0.25)
    assert described.counting.thresholds == figures["thresholds"] == read_json(Path("points.json"))["thresholds"]
    canvas = LesionStore(Path("canvases")).read("p3").pixels
    trained = read_network(Path("models"), "all", read_spec(Path("models")))
    expected = segment(trained, canvas, tile_px=64, overlap=0.25)
    np.testing.assert_allclose(scoring.probabilities(canvas), expected, atol=1e-4)  # tiles and their blending too
    first = Path("lesions.onnx").read_bytes()
    assert str(workplace).encode() not in first

    make_bundle(Path("bundle"))
    assert main(["export-lesions", *export, "--bundle", "bundle", "--bundle-out", "with-lesions"]) == 0
    assert "score FOLDER --lesions --bundle with-lesions" in capsys.readouterr().out
    assert Path("lesions.onnx").read_bytes() == first
    assert read_bundle(Path("with-lesions"), threads=1).bundle_id == read_bundle(Path("bundle"), threads=1).bundle_id
    assert read_lesions(Path("with-lesions"), threads=1) is not None
    assert main(["export-lesions", *export, "--bundle", "bundle"]) == EXIT_USER_ERROR
    assert "belong together" in capsys.readouterr().err

    make_bundle(Path("bundle"))
    assert main(["export-lesions", *export, "--bundle", "bundle", "--bundle-out", "with-lesions"]) == 0
    assert "score FOLDER --lesions --bundle with-lesions" in capsys.readouterr().out
    assert read_bundle(Path("with-lesions"), threads=1).bundle_id == read_bundle(Path("bundle"), threads=1).bundle_id
    assert read_lesions(Path("with-lesions"), threads=1) is not None
    assert main(["export-lesions", *export, "--bundle", "bundle"]) == EXIT_USER_ERROR
    assert "belong together" in capsys.readouterr().err

    points = read_json(Path("points.json"))
    del points["thresholds"][KINDS[0].name]
    write_json(Path("points.json"), points)
    assert main(["export-lesions", *export]) == EXIT_USER_ERROR
    assert "thresholds are not of the network's kinds" in capsys.readouterr().err

    write_store(workplace / "canvases", photographs=7)
    validation = ["--models", "models", "--out", "points.json", "--report", "own.json"]
    assert main(["validate-lesions", *named, *validation]) == EXIT_USER_ERROR
    assert "trained on other canvases" in capsys.readouterr().err


def test_an_interrupted_training_gives_the_same_network(tmp_path: Path) -> None:
    data = lesion_data(write_store(tmp_path / "canvases"), KINDS, 0)
    params = training(epochs=3)
    key = checkpoint_key(params, data)

    def interrupt(row: LesionEpoch) -> None:
        if row.epoch == 1:
            raise KeyboardInterrupt

    whole = train_lesions(params, data, Checkpoint(tmp_path / "a", key), on_epoch=lambda _row: None)
    with pytest.raises(KeyboardInterrupt):
        train_lesions(params, data, Checkpoint(tmp_path / "b", key), on_epoch=interrupt)
    resumed = train_lesions(params, data, Checkpoint(tmp_path / "b", key), on_epoch=lambda _row: None)
    assert [row.loss for row in resumed.history] == [row.loss for row in whole.history]
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name])
    assert whole.history[-1].loss < whole.history[0].loss


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    store = write_store(tmp_path / "canvases")
    with pytest.raises(GateError, match="the loss is"):
        train_networks(
            store,
            training(learning_rate=1e30, clip_norm=1e30),
            tmp_path / "models",
            tmp_path / "scratch",
            folds=[0],
            on_epoch=lambda _name, _row: None,
        )


def test_a_network_name() -> None:
    assert [network_name(fold) for fold in (0, 4, None)] == ["fold-0", "fold-4", "all"]
