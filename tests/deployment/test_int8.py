"""8-bit integers: close to float32 by measured error, sensitive layers left alone, refused where that is not enough."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dr_pipeline.bundle.decision import softmax
from dr_pipeline.bundle.golden import Golden, make_golden
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import INT8, OnnxModel
from dr_pipeline.deployment.formats import onnx_int8
from dr_pipeline.deployment.formats.onnx_graph import calibrated, write_onnx
from dr_pipeline.deployment.formats.onnx_int8 import MAX_ERROR, quantise
from dr_pipeline.deployment.formats.rounding_shift import rounding_shift
from dr_pipeline.errors import BundleError, GateError
from dr_pipeline.scoring.scorer import Scorer
from tests.factories.bundles import DECISION, make_bundle, onnx_model, photograph
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


def test_channels_beside_an_outlier_survive_since_they_are_equalised() -> None:
    photographs, model = small_photographs(20), relu6_network(outlier=300.0)
    quantised = quantise(model, photographs)
    assert float32_layers(quantised) == {"first"}
    expected = logits(model, photographs)
    assert np.sqrt(np.mean((logits(quantised, photographs) - expected) ** 2)) <= MAX_ERROR * expected.std()


def test_sensitive_layers_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without equalised channels int8 loses those beside an outlier: its neighbours are found by measuring."""
    monkeypatch.setattr(onnx_int8, "equalise", lambda model, _photographs: model)
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


@pytest.fixture(scope="module")
def int8_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    write_onnx(quantise(relu6_network(), small_photographs(20)), path, precision=INT8)
    return path


def test_a_bundle_ships_an_int8_network(int8_file: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", model=int8_file.read_bytes(), precision=INT8)
    assert read_bundle(bundle, threads=1).model.precision == INT8
    assert "tiny_net (efficientnet), 15 parameters, int8" in (bundle / "MODEL_CARD.md").read_text()
    score = Scorer.from_bundle(bundle, threads=1).score(photograph(1, side_px=512))
    assert score.grading is not None
    assert sum(score.grading.probabilities) == pytest.approx(1)


def test_a_bundle_that_states_another_precision_is_refused(int8_file: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", model=int8_file.read_bytes())
    with pytest.raises(BundleError, match="precision is 'float32', but the model states 'int8'"):
        read_bundle(bundle, threads=1)


@pytest.mark.parametrize(("shift", "passes_int8"), [(0.01, True), (0.5, False)])
def test_the_self_test_allows_int8_what_other_kernels_change(int8_file: Path, shift: float, passes_int8: bool) -> None:
    """A logit that is off by 0.01 moves a probability by at most 0.0025; in float32 that is another network."""
    for model, passes in ((OnnxModel(int8_file, threads=1), passes_int8), (OnnxModel(onnx_model(), threads=1), False)):
        golden = make_golden(model, DECISION)
        moved = golden.logits + np.array([shift, 0, 0, 0, 0], np.float32)
        kept = Golden(golden.inputs, moved, DECISION.apply(moved).grade)
        if passes:
            assert 1e-4 < kept.replay(model, DECISION, where="bundle") < 0.02
        else:
            with pytest.raises(BundleError, match="self-test failed"):
                kept.replay(model, DECISION, where="bundle")


def test_the_shift_of_rounded_weights_is_taken_off_by_groups() -> None:
    """Known answer: two groups; with the largest weight 127 the step is 1."""
    weights = np.zeros((2, 1, 1, 2), np.float32)
    weights[0, 0, 0], weights[1, 0, 0] = (127, 0.4), (127, 0.7)
    shift = rounding_shift(weights, np.array([10, 100], np.float32))
    assert np.allclose(shift, [-0.4 * 10, 0.3 * 100], atol=1e-4)
    assert not rounding_shift(np.zeros((2, 1, 1, 1), np.float32), np.array([1, 1], np.float32)).any()
