"""Equalising channels changes no logit in float32, and leaves less for 8 bits to lose."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.deployment.formats.channel_statistics import channel_maxima, channel_means
from dr_pipeline.deployment.formats.equalise import channel_factors, equalise
from tests.factories.small_networks import relu6_network, small_photographs


def logits(model: onnx.ModelProto) -> np.ndarray:
    network = OnnxModel(model.SerializeToString(), threads=1)
    return np.concatenate([network.logits(pixels) for pixels in small_photographs(8)])


@pytest.mark.parametrize("outlier", [1.0, 300.0])
def test_the_float32_network_answers_as_before(outlier: float) -> None:
    model = relu6_network(outlier=outlier)
    equalised = equalise(model, small_photographs(8))
    assert np.allclose(logits(equalised), logits(model), rtol=1e-4, atol=1e-4)
    assert equalised != model


def test_a_small_channel_is_raised_where_it_is_linear() -> None:
    """Between the second and the third convolution nothing cuts: the outlier's neighbours come half of the way."""
    model, photographs = relu6_network(outlier=300.0), small_photographs(8)
    (before,) = channel_maxima(model, ["c"], photographs).values()
    (after,) = channel_maxima(equalise(model, photographs), ["c"], photographs).values()
    assert after.max() == pytest.approx(before.max(), rel=1e-4)
    assert np.allclose(np.log(after / after.max()), np.log(before / before.max()) / 2, atol=1e-3)


def test_weights_that_two_layers_share_stay_as_they_are() -> None:
    model = relu6_network(outlier=300.0)
    third = next(node for node in model.graph.node if node.name == "third")
    again = onnx.helper.make_node("Conv", ["b", "second_weight"], ["unused"], name="again", pads=[1, 1, 1, 1])
    model.graph.node.insert([*model.graph.node].index(third), again)
    assert np.allclose(logits(equalise(model, small_photographs(8))), logits(model), rtol=1e-4, atol=1e-4)


def test_what_is_added_to_a_constant_stays_as_it_is() -> None:
    """A constant's channels are not scaled with the convolution's."""
    model = relu6_network(outlier=300.0)
    third = next(node for node in model.graph.node if node.name == "third")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 8, 1, 1), np.float32), "constant"))
    model.graph.node.insert([*model.graph.node].index(third), onnx.helper.make_node("Add", ["c", "constant"], ["sum"]))
    third.input[0] = "sum"
    assert np.allclose(logits(equalise(model, small_photographs(8))), logits(model), rtol=1e-4, atol=1e-4)


def test_a_sum_of_two_convolutions_is_scaled_with_both() -> None:
    model = relu6_network(outlier=300.0)
    third = next(node for node in model.graph.node if node.name == "third")
    weight = np.random.default_rng(3).normal(0, 0.2, (8, 8, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "beside_weight"))
    at = [*model.graph.node].index(third)
    model.graph.node.insert(at, onnx.helper.make_node("Add", ["c", "beside"], ["sum"]))
    model.graph.node.insert(at, onnx.helper.make_node("Conv", ["b", "beside_weight"], ["beside"], name="beside"))
    third.input[0] = "sum"
    equalised = equalise(model, small_photographs(8))
    assert np.allclose(logits(equalised), logits(model), rtol=1e-4, atol=1e-4)
    (scaled,) = (tensor for tensor in equalised.graph.initializer if tensor.name == "beside_weight")
    assert not np.array_equal(onnx.numpy_helper.to_array(scaled), weight)


@given(st.lists(st.floats(0, 6, width=32), min_size=1, max_size=8))
def test_no_channel_is_raised_beyond_the_cut_or_the_largest(maxima: list[float]) -> None:
    seen = np.array(maxima, np.float32)
    for ceiling in (6.0, np.inf):
        factors = channel_factors(seen, ceiling)
        assert (factors >= 1).all()
        assert (seen * factors <= max(seen.max(), 1e-6) * 1.0001).all()


def test_statistics_are_those_of_all_photographs() -> None:
    model, photographs = relu6_network(), small_photographs(3)
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    graph.graph.output.append(onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None))
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = np.concatenate([session.run(["b"], {"image": pixels})[0] for pixels in photographs])
    assert np.allclose(channel_means(model, ["b"], photographs)["b"], seen.mean(axis=(0, 2, 3)), atol=1e-5)
    assert np.allclose(channel_maxima(model, ["b"], photographs)["b"], np.abs(seen).max(axis=(0, 2, 3)), atol=1e-5)
    assert channel_means(model, [], photographs) == {}
