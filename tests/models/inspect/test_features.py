"""Embeddings of every level, and the parquet table that holds them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dr_pipeline.canvases.store import INDEX, PIXEL_PATH, CanvasStore
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import model_input
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.inspect.features import POOLED, embed, feature_levels, resolve_level, write_features
from dr_pipeline.models.weights.trained_weights import read_trained
from dr_pipeline.schema import Status
from dr_pipeline.tables.canvas_index import CanvasRow, write_canvas_index
from dr_pipeline.tables.splits import SplitRow, write_splits
from tests.factories.networks import MODEL, bundle_folder, random_grader, random_images, run_models, trained_folder

pytestmark = pytest.mark.slow

CANVAS_PX = 64


@pytest.fixture
def canvases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of five canvases, generated when they are read."""
    ids = [f"i{number}" for number in range(5)]
    root = tmp_path / "canvases"
    write_json(root / PIXEL_PATH, PixelPath(CANVAS_PX).to_dict())
    write_canvas_index(root / INDEX, [CanvasRow(image_id=i, shard="s.tar", status=Status.SCORED) for i in ids])
    folds = [0, 1, 0, 1, None]
    splits = [
        SplitRow(image_id=i, group=i, grade=grade, split="test" if fold is None else "development", fold=fold)
        for grade, (i, fold) in enumerate(zip(ids, folds, strict=True))
    ]
    write_splits(tmp_path / "splits.csv", splits)
    monkeypatch.setattr(CanvasStore, "read", lambda self, image_id: random_canvas(int(image_id[1:])))
    return root


def random_canvas(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (CANVAS_PX, CANVAS_PX, 3), dtype=np.uint8)


@pytest.mark.parametrize("model", [MODEL, "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_every_level_gives_one_row_for_each_photograph(model: str) -> None:
    grader = create_grader(model, input_px=64, drop_rate=0.0, drop_path_rate=0.0).eval()
    known = feature_levels(grader)
    widths = [stage["num_chs"] for stage in grader.backbone.feature_info]
    for level, width in list(zip(known, widths, strict=False))[:: max(len(widths) - 1, 1)]:
        assert embed(grader, random_images(), level=level).shape == (2, width)
    assert known[-1] == POOLED
    assert resolve_level(grader, "0") == known[0]
    assert resolve_level(grader, "-1") == known[-2]


def test_pooled_is_what_the_classifier_sees() -> None:
    grader = random_grader()
    seen: list[torch.Tensor] = []
    grader.backbone.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        grader(random_images())
    assert torch.equal(embed(grader, random_images(), level=POOLED), seen[0])


@pytest.mark.parametrize("level", ["9", "-7", "blocks.9", ""])
def test_an_unknown_level_is_refused_with_those_there_are(level: str) -> None:
    with pytest.raises(ParamsError, match=r"blocks\.0"):
        resolve_level(random_grader(), level)


def test_features_of_a_trained_network_come_back_from_the_table(tmp_path: Path, canvases: Path) -> None:
    (tmp_path / "trained").mkdir()
    grader = random_grader(px=32)
    folder, out = trained_folder(tmp_path / "trained", grader, px=32), tmp_path / "f.parquet"
    words = ("features", "--trained", folder, "--canvases", canvases, "--splits", tmp_path / "splits.csv")
    outcome = run_models(*words, "--batch", 2, "--out", out)
    assert outcome.headline.startswith(
        f"5 photographs × 1024 numbers of {MODEL}, level pooled; trained as tiny, fold 0"
    )
    table = pq.read_table(out)
    assert table.column_names == ["image_id", "split", "fold", "grade", "embedding"]
    assert table["image_id"].to_pylist() == ["i0", "i1", "i2", "i3", "i4"]
    assert table["fold"].to_pylist() == [0, 1, 0, 1, None]
    assert table["grade"].to_pylist() == [0, 1, 2, 3, 4]
    image = torch.from_numpy(np.stack([model_input(random_canvas(number), 32) for number in range(5)]))
    expected = embed(grader, image, level=POOLED).numpy()
    np.testing.assert_allclose(np.array(table["embedding"].to_pylist()), expected, rtol=1e-3, atol=1e-5)
    metadata = json.loads(table.schema.metadata[b"dr_pipeline"])
    assert metadata["level"] == "pooled"
    assert metadata["research_use"] == "Research use only. Not a medical device."
    assert str(tmp_path) not in json.dumps(metadata)


def test_canvases_of_another_enhancement_are_refused(tmp_path: Path, canvases: Path, graph: Path) -> None:
    for name in ("trained", "bundle"):
        (tmp_path / name).mkdir()
    folder = trained_folder(tmp_path / "trained", random_grader())
    root = bundle_folder(tmp_path / "bundle", random_grader(), graph=graph.read_bytes())
    location = ("--canvases", canvases)
    embedding = (
        "features",
        "--trained",
        folder,
        *location,
        "--splits",
        tmp_path / "splits.csv",
        "--out",
        tmp_path / "f",
    )
    comparison = ("compare", folder, root, *location, "--photographs", 2)
    assert "logits of 2 canvases: at most" in run_models(*comparison).headline
    write_json(canvases / PIXEL_PATH, PixelPath(CANVAS_PX, "green").to_dict())
    for words in (embedding, comparison, ("compare", root, root, *location)):
        with pytest.raises(ParamsError, match=r"trained on .*'arm': 'none'.*; these are of .*'arm': 'green'"):
            run_models(*words)
    assert not (tmp_path / "f").exists()


def test_a_network_of_unknown_canvases_is_refused(tmp_path: Path) -> None:
    spec = trained_folder(tmp_path, random_grader()) / "model.json"
    spec.write_text(
        json.dumps({key: value for key, value in json.loads(spec.read_text()).items() if "path" not in key})
    )
    with pytest.raises(DataError, match="names no pixel path"):
        read_trained(tmp_path)


def test_features_of_a_timm_model_and_a_level(tmp_path: Path, canvases: Path) -> None:
    words = ("features", "--model", MODEL, "--weights", "none", "--canvases", canvases, "--px", 32, "--level", "1")
    out = tmp_path / "f.parquet"
    assert "5 photographs × 8 numbers" in run_models(*words, "--splits", tmp_path / "splits.csv", "--out", out).headline


def test_no_photograph_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no photographs"):
        write_features(tmp_path / "f.parquet", [], metadata={})
    assert not list(tmp_path.iterdir())
