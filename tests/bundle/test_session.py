import numpy as np
import onnx
import pytest
from onnx import TensorProto

from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.errors import BundleError
from tests.factories.bundles import INPUT_PX, onnx_model


def _inputs(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, INPUT_PX, INPUT_PX, 3), dtype=np.uint8)


def test_gives_float_logits_for_any_batch():
    model = OnnxModel(onnx_model(), threads=1)
    inputs = _inputs(3)
    logits = model.logits(inputs)
    assert logits.shape == (3, 5)
    assert logits.dtype == np.float32
    one_by_one = np.concatenate([model.logits(inputs[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(logits, one_by_one, atol=1e-5)


def test_reads_a_path_as_it_reads_bytes(tmp_path):
    (tmp_path / "model.onnx").write_bytes(onnx_model())
    inputs = _inputs(2)
    from_path = OnnxModel(tmp_path / "model.onnx", threads=2).logits(inputs)
    np.testing.assert_array_equal(from_path, OnnxModel(onnx_model(), threads=1).logits(inputs))


@pytest.mark.parametrize(
    "breach",
    [
        {"input_type": TensorProto.FLOAT},
        {"outputs": ("logits", "softmax")},
        {"outputs": ("scores", "probabilities")},
        {"grades": 4},
        {"side": "side"},
        {"batch": 1},
    ],
    ids=str,
)
def test_refuses_a_network_that_breaks_the_contract(breach):
    with pytest.raises(BundleError, match="the model must have"):
        OnnxModel(onnx_model(**breach), threads=1)


def test_refuses_what_is_no_network(tmp_path):
    with pytest.raises(BundleError, match="not a runnable ONNX model"):
        OnnxModel(b"not a network", threads=1)
    with pytest.raises(BundleError, match="No such file"):
        OnnxModel(tmp_path / "absent.onnx", threads=1)


def test_refuses_operators_of_others():
    model = onnx.load_from_string(onnx_model())
    model.graph.node[2].op_type, model.graph.node[2].domain = "Evil", "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    with pytest.raises(BundleError, match=r"com\.example:Evil.* is not a registered"):
        OnnxModel(model.SerializeToString(), threads=1)


@pytest.mark.parametrize("location", ["weights.bin", "../{folder}/weights.bin", "{path}/weights.bin"])
def test_refuses_weights_outside_the_file(location, tmp_path, monkeypatch):
    """No hash covers them; by default ONNX Runtime would take them from the working directory."""
    model = onnx.load_from_string(onnx_model())
    weights = next(item for item in model.graph.initializer if item.name == "weights")
    raw = onnx.numpy_helper.to_array(weights).tobytes()
    (tmp_path / "weights.bin").write_bytes(raw)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    place = location.format(folder=tmp_path.name, path=tmp_path)
    for key, value in {"location": place, "offset": "0", "length": str(len(raw))}.items():
        weights.external_data.add(key=key, value=value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    for source in (model.SerializeToString(), tmp_path / "model.onnx"):
        with pytest.raises(BundleError, match="External data path"):
            OnnxModel(source, threads=1)


@pytest.mark.parametrize(
    "inputs",
    [
        np.zeros((1, INPUT_PX, INPUT_PX, 3), np.float32),
        np.zeros((1, INPUT_PX + 1, INPUT_PX, 3), np.uint8),
        np.zeros((1, 3, INPUT_PX, INPUT_PX), np.uint8),
        np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8),
    ],
    ids=["float", "side", "channels first", "no batch"],
)
def test_refuses_other_inputs(inputs):
    with pytest.raises(BundleError, match="the model takes uint8"):
        OnnxModel(onnx_model(), threads=1).logits(inputs)


def test_refuses_logits_that_are_not_finite():
    with pytest.raises(BundleError, match="not finite"):
        OnnxModel(onnx_model(scale=float("inf")), threads=1).logits(_inputs(1))
