"""Networks as ONNX graphs, built in milliseconds: six convolutions with ReLU6, as EfficientNet-Lite has them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.factories.bundles import INPUT_PX


def relu6_network(*, seed: int = 0, outlier: float = 1.0, stride: int = 1) -> ModelProto:
    """uint8 (N, 32, 32, 3) → logits, probabilities.

    Args:
        seed: Of the weights.
        outlier: One channel between the second and the third convolution is this many times larger than the others,
            and divided by it after: in 8 bits the others vanish beside it.
        stride: Of the third convolution; with 2, three activations follow the last feature map of 32 cells.
    """
    rng = np.random.default_rng(seed)

    def weights(out: int, into: int, side: int) -> NDArray[np.float32]:
        return rng.normal(0, np.sqrt(2 / (into * side * side)), (out, into, side, side)).astype(np.float32)

    first, second, third = weights(8, 3, 3), weights(8, 8, 3), weights(16, 8, 1)
    second[0] *= outlier
    third[:, 0] /= outlier
    tensors: dict[str, Any] = {
        "half": np.float32(127.5),
        "zero": np.float32(0),
        "six": np.float32(6),
        "first_weight": first,
        "second_weight": second,
        "third_weight": third,
        "axes": np.array([2, 3], np.int64),
        "classifier": rng.normal(0, 2, (16, 5)).astype(np.float32),
    }
    for name in ("fourth", "fifth", "sixth"):
        tensors[f"{name}_weight"] = weights(16, 16, 1)
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["real", "half"], ["centred"]),
        helper.make_node("Div", ["centred", "half"], ["normal"]),
        helper.make_node("Conv", ["normal", "first_weight"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["a", "zero", "six"], ["b"], name="relu_first"),
        helper.make_node("Conv", ["b", "second_weight"], ["c"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "third_weight"], ["d"], name="third", strides=[stride, stride]),
        helper.make_node("Clip", ["d", "zero", "six"], ["e"], name="relu_third"),
        *(
            node
            for name, into, out in (("fourth", "e", "f"), ("fifth", "f", "g"), ("sixth", "g", "h"))
            for node in (
                helper.make_node("Conv", [into, f"{name}_weight"], [f"{name}_sum"], name=name),
                helper.make_node("Clip", [f"{name}_sum", "zero", "six"], [out], name=f"relu_{name}"),
            )
        ),
        helper.make_node("ReduceMean", ["h", "axes"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "classifier"], ["logits"], name="classify"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", INPUT_PX, INPUT_PX, 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 5]) for name in ("logits", "probabilities")]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "small", [image], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def small_photographs(count: int) -> list[NDArray[np.uint8]]:
    """Noise with a colour of its own, uint8 (1, 32, 32, 3) each."""
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 200, (count, 1, 1, 1, 3))
    return list((colours + rng.integers(0, 56, (count, 1, INPUT_PX, INPUT_PX, 3))).astype(np.uint8))


def blue_network(*, px: int = 64, pads: tuple[int, int, int, int] = (0, 0, 1, 1), stride: int = 2) -> ModelProto:
    """uint8 (N, px, px, 3) → logits whose severity is how much more blue than red and green there is.

    One convolution of 3 × 3, without `kernel_shape`, as a graph may be written.

    Args:
        px: Side of the input.
        pads: Rows and columns before, rows and columns after; TensorFlow's padding by default.
        stride: Of the convolution.
    """
    more_blue = np.array([-1, -1, 1], np.float32)[None, :, None, None] * np.ones((1, 1, 3, 3), np.float32) / 9
    tensors = {
        "kernel": more_blue,
        "axes": np.array([2, 3], np.int64),
        "classifier": np.arange(-2, 3, dtype=np.float32)[None] / 100,
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["real", "kernel"], ["difference"], pads=pads, strides=[stride, stride]),
        helper.make_node("Relu", ["difference"], ["more_blue"]),
        helper.make_node("ReduceMean", ["more_blue", "axes"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "classifier"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", px, px, 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 5]) for name in ("logits", "probabilities")]
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "blue", [image], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
