"""The registered model loads and scores; the champion changes only by a person's hand."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import cv2
import numpy as np
import pytest

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.golden import draw_disc, make_golden
from dr_pipeline.bundle.metadata import PACKAGES, build_metadata
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.files import read_json, sha256_bytes
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.tables.predictions import PHOTOGRAPH_COLUMNS
from dr_pipeline.tracking.layout import Layout
from dr_pipeline.tracking.registry import MODEL_NAME, register
from dr_pipeline.tracking.run import tracked
from dr_pipeline.tracking.store import Store
from tests.factories.bundles import ENSEMBLE
from tests.factories.repository import Repository, figure

pytestmark = pytest.mark.slow

INPUT_PX = 32


def colour_model(gain: float) -> bytes:
    """A network that grades by mean colour: enough to be exported, hashed, loaded and replayed."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5) * gain
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", INPUT_PX, INPUT_PX, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 5]) for name in ("logits", "probabilities")],
        [numpy_helper.from_array(np.array([1, 2]), "axes"), numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def pack(out: Path, gain: float = 0.02) -> str:
    """Writes a small, whole bundle and returns its id."""
    model = colour_model(gain)
    decision = Decision(
        temperature=1.0,
        cut_points=(0.5, 1.5, 2.5, 3.5),
        referable_threshold=0.4,
        review_margin=0.0,
        fitted_on={"split": "validation", "splits_sha256": "0" * 64, "fold": "0"},
    )
    export: dict[str, Any] = {
        "model": "colour",
        "family": "colour",
        "parameters": 15,
        "input_px": INPUT_PX,
        "network": {},
        "loss": "cross_entropy",
        "weights": "none",
        "ensemble": ENSEMBLE,
        "candidate": "lite0",
        "fold": 0,
        "parity": {"n": 1},
        "splits_sha256": "0" * 64,
        "canvas_index_sha256": "0" * 64,
        "versions": {},
    }
    latency = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "n": 10, "threads": 1, "machine": "m"}
    metadata = build_metadata(
        model_sha256=sha256_bytes(model),
        pixel_path=PixelPath(64),
        decision=decision,
        gradability=Gradability(0.0, 0.1, 0.0),
        export=export,
        validation={"qwk": figure(0.8)},
        latency=latency,
        versions=dict.fromkeys(PACKAGES, "1"),
    )
    golden = make_golden(OnnxModel(model, threads=1), decision)
    write_bundle(out, model=model, weights=b"", metadata=metadata, golden=golden)
    return str(read_json(out / "metadata.json")["bundle_id"])


@pytest.fixture
def registered(repository: Repository) -> Repository:
    pack(repository.root / "data" / "release")
    register(repository.root / "data" / "release")
    return repository


def photograph(path: Path) -> bytes:
    done, encoded = cv2.imencode(".png", draw_disc(3, 256))
    assert done
    path.write_bytes(encoded.tobytes())
    return encoded.tobytes()


def test_the_registered_model_loads_and_scores(registered: Repository) -> None:
    import mlflow
    import pandas as pd
    from mlflow.types import DataType

    mlflow.set_tracking_uri(Store(registered.root).uri)
    model = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
    path = registered.root / "a.png"
    data = photograph(path)
    scored = model.predict(pd.DataFrame({"path": [str(path), str(registered.root / "absent.png")]}))
    assert list(scored["status"])[1] == "failed"
    assert scored["reason"][1] == "the file is missing"
    from_bytes = model.predict(pd.DataFrame({"image": [data, b"no picture"]}))
    assert from_bytes["sha256"][0] == scored["sha256"][0]
    assert from_bytes["status"][0] == scored["status"][0] != "failed"
    assert from_bytes["status"][1] == "failed"
    outputs = model.metadata.signature.outputs
    assert tuple(outputs.input_names()) == PHOTOGRAPH_COLUMNS == tuple(scored.columns)
    text = [name for name, kind in outputs.input_dict().items() if kind.type == DataType.string]
    assert text == ["path", "sha256", "status", "reason", "camera", "bundle_id"]
    assert set(from_bytes["bundle_id"]) == {
        read_json(registered.root / "data" / "release" / "metadata.json")["bundle_id"]
    }


def test_the_registered_model_moves_with_the_repository(
    registered: Repository, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # registering has set it, in this process
    moved = tmp_path_factory.mktemp("elsewhere") / "renamed"
    moved.mkdir()
    for path in registered.root.iterdir():
        path.rename(moved / path.name)
    client = Store(moved).client
    champion = client.get_model_version_by_alias(MODEL_NAME, "champion")
    place = client.get_model_version_download_uri(MODEL_NAME, champion.version)
    assert place.startswith(f"{moved.as_uri()}/mlruns/")
    assert (Path(url2pathname(urlsplit(place).path)) / "MLmodel").is_file()


def test_the_same_bundle_is_registered_once(registered: Repository) -> None:
    register(registered.root / "data" / "release")
    client = Store(registered.root).client
    assert [v.version for v in client.search_model_versions(f"name = '{MODEL_NAME}'")] == [1]


def test_a_new_bundle_challenges_and_does_not_replace(registered: Repository) -> None:
    bundle_id = pack(registered.root / "data" / "release", gain=0.03)
    register(registered.root / "data" / "release")
    client = Store(registered.root).client
    assert {alias: int(v) for alias, v in client.get_registered_model(MODEL_NAME).aliases.items()} == {
        "champion": 1,
        "challenger": 2,
    }
    assert client.get_model_version(MODEL_NAME, "2").tags["bundle_id"] == bundle_id


def test_the_test_figures_stand_beside_the_version(registered: Repository) -> None:
    with tracked("test"):
        registered.test()
    registered.external("far", read_json(registered.root / "data" / "release" / "metadata.json")["bundle_id"])
    with tracked("external"):
        pass
    version = Store(registered.root).client.get_model_version(MODEL_NAME, "1")
    assert version.tags["test.qwk"] == "0.830 (0.780 to 0.880, n = 120)"
    assert version.tags["external.far.qwk"] == "0.700 (0.650 to 0.750, n = 99)"
    assert version.tags["external.far.referable_sensitivity"] == "0.900 (0.850 to 0.950, n = 40)"
    assert Layout.at(registered.root).figures("test").is_file()
