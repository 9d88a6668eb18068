"""8-bit integers: close to float32 by measured error, sensitive layers left alone, refused where that is not enough."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dr_pipeline.bundle.decision import softmax
from dr_pipeline.bundle.session import INT8, OnnxModel
from dr_pipeline.deployment.formats.onnx_graph import calibrated, write_onnx
from dr_pipeline.deployment.formats.onnx_int8 import MAX_ERROR, quantise
from dr_pipeline.errors import BundleError, GateError
from tests.factories.bundles import onnx_model
from tests.factories.small_networks import relu6_network, small_photographs


def logits(model: onnx.ModelProto, photographs: list[Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([OnnxModel(model.SerializeToString(), threads=1).logits(pixels) for pixels in photographs])


def float32_layers(model: onnx.ModelProto) -> set[str]:
    """Convolutions whose weights are no dequantised integers."""
    dequantised = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return {node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] not in dequantised}


def test_a_relu6_network_keeps_its_logits() -> None:
    photographs, model = small_photographs(40), relu6_network()
    expected = logits(model, photographs)
    quantised = quantise(model, photographs[:20])
    difference = logits(quantised, photographs) - expected
    assert np.sqrt(np.mean(difference**2)) <= MAX_ERROR * expected.std()
    assert float32_layers(quantised) == {"first"}


def test_sensitive_layers_stay_in_float32() -> None:
    """Plain int8 loses the channels beside an outlier: its two neighbours are found by measuring, and left alone."""
    photographs, model = small_photographs(20), relu6_network(outlier=300.0)
    quantised = quantise(model, photographs)
    assert float32_layers(quantised) == {"first", "second", "third"}
    expected = logits(model, photographs)
    assert np.sqrt(np.mean((logits(quantised, photographs) - expected) ** 2)) <= MAX_ERROR * expected.std()


def test_an_error_that_stays_is_refused_with_its_figure() -> None:
    with pytest.raises(GateError, match=r"off by 0\.\d+ of their spread on 20 training photographs, allowed 1e-06"):
        quantise(relu6_network(), small_photographs(20), max_error=1e-6)


def test_the_file_states_its_precision(tmp_path: Path) -> None:
    write_onnx(relu6_network(), tmp_path / "float32.onnx")
    write_onnx(quantise(relu6_network(), small_photographs(20)), tmp_path / "int8.onnx", precision=INT8)
    assert OnnxModel(tmp_path / "float32.onnx", threads=1).precision == "float32"
    assert OnnxModel(tmp_path / "int8.onnx", threads=1).precision == "int8"


def test_quantising_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_onnx(quantise(relu6_network(), small_photographs(20)), tmp_path / name, precision=INT8)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_temperature_stands_in_the_graph() -> None:
    import onnxruntime

    model = calibrated(relu6_network().SerializeToString(), 0.4)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found, probabilities = session.run(["logits", "probabilities"], {"image": small_photographs(1)[0]})
    assert np.allclose(probabilities, softmax(found.astype(np.float64) / 0.4), atol=1e-6)
    assert np.array_equal(found, logits(relu6_network(), small_photographs(1)))


def test_a_graph_that_ends_otherwise_is_refused() -> None:
    model = onnx.load_from_string(onnx_model())
    model.graph.node[-1].op_type = "LogSoftmax"
    with pytest.raises(BundleError, match="does not end with the softmax"):
        calibrated(model.SerializeToString(), 1.0)
