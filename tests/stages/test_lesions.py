"""The stages train-, validate- and export-lesions, from files to files; and an interrupted training."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from dr_pipeline.bundle.lesions import _MAX_OVERLAP, LesionModel, read_lesions
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.cli import EXIT_USER_ERROR, main
from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.evaluation.lesion_evidence import segment
from dr_pipeline.files import read_json, write_json
from dr_pipeline.metrics.intervals import format_estimate
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.segmenter_files import network_hashes, network_name, read_network, read_spec
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.lesions import Lesions
from dr_pipeline.params.section import validate
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.lesions.cross_validation import train_networks
from dr_pipeline.training.lesions.lesion_data import lesion_data
from dr_pipeline.training.lesions.tile_training import LesionEpoch
from dr_pipeline.training.lesions.train_lesions import checkpoint_key, train_lesions
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle
from tests.factories.graded_sets import write_grading_set
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
GRADING_SET = {"graded": "canvases", "audited": "audited.csv", "splits": "splits.csv", "same-eye": "matches.json"}
TRAINING = [part for name, file in GRADING_SET.items() for part in (f"--{name}", f"g/{file}")]
TRAINING += ["--fold", "0", "--out", "models", "--report", "training.json", "--scratch", "scratch"]
GRADING = {"weight": 0.5, "input_px": 32, "batch_photographs": 8, "balance_exponent": 0.5}


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
    assert main(["train-lesions", *named, *TRAINING]) == 0  # none of the grading set's files is there, nor read
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
    alarms = figures["lesions_found_without_lesions"]
    assert described.false_alarms == read_json(Path("points.json"))["lesions_found_without_lesions"] == alarms
    aupr = format_estimate(figures["kinds"][KINDS[0].name]["aupr"])
    assert aupr in Path("with-lesions/MODEL_CARD.md").read_text()
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


def test_grades_are_learned_on_the_same_encoder(workplace: Path) -> None:
    write_grading_set(workplace / "g")
    params = training(model="test_efficientnet", epochs=1, grading=GRADING)
    document = yaml.safe_load(Path("params.yaml").read_text())
    document["lesions"]["own"]["training"] = params.model_dump(mode="json")
    Path("params.yaml").write_text(yaml.safe_dump(document))
    named = ["--name", "own", "--params", "params.yaml", "--canvases", "canvases"]
    assert main(["train-lesions", *named, *TRAINING]) == 0
    networks = read_json(Path("training.json"))["lesion_training"]["own"]["networks"]
    graded = {name: one["grading"] for name, one in networks.items()}
    assert {name: one["photographs"] for name, one in graded.items()} == {"fold-0": 18, "fold-1": 20, "all": 20}
    assert {name: one["validation"]["photographs"] for name, one in graded.items()} == {
        "fold-0": 16,
        "fold-1": 20,
        "all": 16,
    }
    assert all(-1 <= one["validation"]["qwk"] <= 1 and one["loss"] > 0 for one in graded.values())

    segmenter = read_network(Path("models"), "all", read_spec(Path("models")))
    grader = create_grader(params.model, input_px=32, drop_rate=0.0, drop_path_rate=0.0)
    source = initialise_weights(grader, model=params.model, weights="file:models/all-grader.safetensors")
    assert "%" not in source  # all of it was loaded
    theirs = dict(grader.backbone.named_parameters())
    for name, parameter in segmenter.encoder.named_parameters():
        assert torch.equal(parameter, theirs[name])
    assert not torch.equal(segmenter.encoder.bn1.running_mean, grader.backbone.bn1.running_mean)


def test_an_interrupted_training_gives_the_same_networks(tmp_path: Path) -> None:
    grades = write_grading_set(tmp_path / "g")
    data = lesion_data(write_store(tmp_path / "canvases"), KINDS, 0, grades)
    params = training(model="test_efficientnet", epochs=3, grading=GRADING)
    key = checkpoint_key(params, data)

    def interrupt(row: LesionEpoch) -> None:
        if row.epoch == 1:
            raise KeyboardInterrupt

    whole = train_lesions(params, data, Checkpoint(tmp_path / "a", key), on_epoch=lambda _row: None)
    with pytest.raises(KeyboardInterrupt):
        train_lesions(params, data, Checkpoint(tmp_path / "b", key), on_epoch=interrupt)
    resumed = train_lesions(params, data, Checkpoint(tmp_path / "b", key), on_epoch=lambda _row: None)
    assert [(row.loss, row.grade_loss) for row in resumed.training.history] == [
        (row.loss, row.grade_loss) for row in whole.training.history
    ]
    for ours, theirs in ((whole.tensors, resumed.tensors), (whole.grader, resumed.grader)):
        for name, tensor in ours.items():
            assert torch.equal(tensor, theirs[name])
    assert resumed.figures() == whole.figures() | {name: resumed.figures()[name] for name in ("seconds", "tiles_per_s")}
    assert whole.training.history[-1].loss < whole.training.history[0].loss
    assert whole.training.history[-1].grade_loss < whole.training.history[0].grade_loss
    alone = lesion_data(data.store, KINDS, 0)
    assert checkpoint_key(params, alone) != key


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


def test_a_killed_training_leaves_no_mixture_of_networks(tmp_path: Path) -> None:
    store = write_store(tmp_path / "canvases")

    def train(seed: int, *, until: str = "") -> None:
        def stop(name: str, _row: LesionEpoch) -> None:
            if name == until:
                raise KeyboardInterrupt

        params = training(epochs=1, tiles_per_photograph=1, seed=seed)
        train_networks(store, params, tmp_path / "models", tmp_path / f"s{seed}", folds=[0, 1, None], on_epoch=stop)

    train(1)
    first = network_hashes(tmp_path / "models")
    assert list(first) == ["model.json", "all.safetensors", "fold-0.safetensors", "fold-1.safetensors"]
    with pytest.raises(KeyboardInterrupt):
        train(2, until="fold-0")
    assert network_hashes(tmp_path / "models") == first  # nothing is replaced yet
    with pytest.raises(KeyboardInterrupt):
        train(2, until="fold-1")
    with pytest.raises(DataError, match=r"a file is missing(.|\n)*model.json"):
        read_spec(tmp_path / "models")
    train(2)
    assert read_spec(tmp_path / "models").training.seed == 2
    assert not set(network_hashes(tmp_path / "models").values()) & set(first.values())


def test_what_could_never_be_exported_is_refused_before_the_training(tmp_path: Path) -> None:
    training(overlap=_MAX_OVERLAP)
    with pytest.raises(ParamsError, match="overlap"):
        training(overlap=_MAX_OVERLAP + 0.01)
    entry = {"data": DATA, "training": training(tile_px=CANVAS_PX).model_dump(mode="json")}
    validate(entry, Lesions, where="params.yaml")
    entry["training"]["tile_px"] = 2 * CANVAS_PX
    with pytest.raises(ParamsError, match=f"training.tile_px: a tile is larger than the canvas, {CANVAS_PX} px"):
        validate(entry, Lesions, where="params.yaml")
    with pytest.raises(ParamsError, match="tiles of 256 px are larger than the canvases, 128 px"):
        train_networks(
            write_store(tmp_path / "canvases"),
            training(tile_px=2 * CANVAS_PX),
            tmp_path / "models",
            tmp_path / "scratch",
            folds=[0],
            on_epoch=lambda _name, _row: None,
        )
    assert not (tmp_path / "scratch").exists()


def test_a_network_name() -> None:
    assert [network_name(fold) for fold in (0, 4, None)] == ["fold-0", "fold-4", "all"]
