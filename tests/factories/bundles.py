"""Small bundles for tests: a network of one matrix, so that nothing has to be trained or exported."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper
from onnx.onnx_pb import ModelProto

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.golden import draw_disc, make_golden
from dr_pipeline.bundle.metadata import PACKAGES, build_metadata
from dr_pipeline.bundle.reference import Reference
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.files import sha256_bytes
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability

INPUT_PX = 32
CANVAS_PX = 64
PIXEL_PATH = PixelPath(CANVAS_PX)
FITTED_ON = {"split": "validation", "splits_sha256": "ab" * 32, "fold": "0"}
DECISION = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.5, 0.1, FITTED_ON)
GRADABILITY = Gradability(0.02, 0.1, 0.0, {}, {"split": "development", "splits_sha256": FITTED_ON["splits_sha256"]})
FIGURE = {"value": 0.81, "low": 0.7, "high": 0.9, "n": 60}
WEIGHTS = safetensors.numpy.save({"weights": np.zeros((3, 5), np.float32)})
ENSEMBLE = {
    "members": [{"fold": 0, "seed": 20}],
    "views": ["identity"],
    "combine": "mean",
    "fitted": {},
    "validated_by": "the model as it ships",
}
LATENCY = {"p50_ms": 10.0, "p95_ms": 12.0, "p99_ms": 13.0, "n": 60, "threads": 1, "batch": 1, "machine": "m" * 16}


def onnx_model(
    *,
    seed: int = 0,
    input_type: int = TensorProto.UINT8,
    side: int | str = INPUT_PX,
    batch: int | str = "N",
    outputs: tuple[str, str] = ("logits", "probabilities"),
    grades: int = 5,
    scale: float = 0.05,
) -> bytes:
    """Mean colour → logits; every argument but `seed` can break the contract."""
    weights = np.random.default_rng(seed).normal(0, scale, (3, grades)).astype(np.float32)
    logits, probabilities = outputs
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], [logits]),
        helper.make_node("Softmax", [logits], [probabilities], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", input_type, [batch, side, side, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, grades]) for name in outputs],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1, 2], np.int64), "axes")],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def export_json(model: bytes, **changes: Any) -> dict[str, Any]:
    """As the export stage writes it."""
    return {
        "schema_version": 1,
        "candidate": "tiny",
        "fold": 0,
        "model": "tiny_net",
        "family": "efficientnet",
        "parameters": 15,
        "input_px": INPUT_PX,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
        "loss": "cross_entropy",
        "weights": "none",
        "ensemble": ENSEMBLE,
        "validation_model": "model.onnx",
        "pixel_path": PIXEL_PATH.to_dict(),
        "splits_sha256": FITTED_ON["splits_sha256"],
        "canvas_index_sha256": "cd" * 32,
        "onnx_sha256": sha256_bytes(model),
        "weights_sha256": sha256_bytes(WEIGHTS),
        "opset": 18,
        "parity": {"n": 60, "changed_grades": 0, "max_probability_difference": 1e-6},
        "versions": {"torch": "2"},
    } | changes


def metadata_of(
    model: bytes, *, validation: dict[str, Any] | None = None, precision: str = "float32"
) -> dict[str, Any]:
    return build_metadata(
        model_sha256=sha256_bytes(model),
        pixel_path=PIXEL_PATH,
        decision=DECISION,
        gradability=GRADABILITY,
        export=export_json(model, precision=precision),
        validation=validation or {"qwk": FIGURE, "referable_sensitivity": FIGURE},
        latency=LATENCY,
        versions=dict.fromkeys(PACKAGES, "1.0"),
    )


def make_bundle(
    out: Path,
    *,
    model: bytes | None = None,
    validation: dict[str, Any] | None = None,
    reference: Reference | None = None,
    precision: str = "float32",
    explain: bytes = b"",
    lesions: bytes = b"",
    **changes: Any,
) -> Path:
    """A bundle; `changes` are entries of metadata.json that no hash covers but that of the file."""
    model = model or onnx_model()
    golden = make_golden(OnnxModel(model, threads=1), DECISION)
    metadata = metadata_of(model, validation=validation, precision=precision) | changes
    parts = {"model": model, "weights": WEIGHTS, "metadata": metadata, "golden": golden, "explain": explain}
    write_bundle(out, **parts, reference=reference, lesions=lesions)
    return out


def photograph(seed: int, *, side_px: int = 256) -> bytes:
    """A drawn fundus on black, as JPEG; gradable by the quality measure."""
    picture = draw_disc(seed, side_px).astype(np.float32)
    rng = np.random.default_rng(seed)
    vessels = np.zeros((side_px, side_px), np.float32)
    for _ in range(14):
        points = np.cumsum(rng.normal(0, side_px / 14, (8, 2)), axis=0) + side_px / 2
        cv2.polylines(vessels, [points.astype(np.int32)], isClosed=False, color=1.0, thickness=max(2, side_px // 90))
    absorbed = np.array([0.25, 0.5, 0.5], np.float32)  # blood absorbs red least
    picture *= 1 - absorbed * cv2.GaussianBlur(vessels, (0, 0), 1.0)[..., None]
    frame = np.zeros((side_px + 20, side_px + 60, 3), np.uint8)
    frame[10:-10, 30:-30] = picture.astype(np.uint8)
    return encode(frame, ".jpg")


def encode(rgb: np.ndarray[Any, Any], suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])
