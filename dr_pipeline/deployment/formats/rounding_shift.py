"""Bias correction: what rounding a layer's weights adds to its outputs on average is taken off its bias.

Inputs behind a ReLU are positive, so that rounding errors of weights do not cancel: they shift whole channels. The
shift is the rounding error times the mean input, measured on training photographs (Nagel et al., ICCV 2019, 4.2).
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from dr_pipeline.bundle.session import INPUT_NAME

_LEVELS = 127  # of signed 8-bit weights, symmetric


def correct_biases(model: onnx.ModelProto, photographs: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """A copy of the float32 graph, to be quantised: the biases of all convolutions but the first are corrected.

    Args:
        model: The float32 graph; batch normalisation is part of its convolutions.
        photographs: Training photographs, uint8 RGB (1, s, s, 3).
    """
    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in corrected.graph.initializer}
    layers = [node for node in corrected.graph.node if node.op_type == "Conv"][1:]
    layers = [node for node in layers if len(node.input) == 3 and {*node.input[1:]} <= tensors.keys()]
    means = _channel_means(model, [node.input[0] for node in layers], photographs)
    for node in layers:
        _, weight, bias = node.input
        shift = rounding_shift(onnx.numpy_helper.to_array(tensors[weight]), means[node.input[0]])
        values = (onnx.numpy_helper.to_array(tensors[bias]) - shift).astype(np.float32)
        tensors[bias].CopyFrom(onnx.numpy_helper.from_array(values, bias))
    return corrected


def rounding_shift(weights: NDArray[np.float32], mean_input: NDArray[np.float32]) -> NDArray[np.float32]:
    """What rounding `weights` to 8 bits per channel adds to each output on average.

    Args:
        weights: Of a convolution, (out, in / groups, height, width).
        mean_input: Of each input channel, (in,).

    Returns:
        Shape (out,).
    """
    step = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / _LEVELS
    step[step == 0] = 1
    error = (np.rint(weights / step) * step - weights).sum(axis=(2, 3))
    by_group = mean_input.reshape(-1, weights.shape[1])
    group = np.arange(len(weights)) * len(by_group) // len(weights)
    return np.asarray((error * by_group[group]).sum(axis=1))


def _channel_means(
    model: onnx.ModelProto, names: Sequence[str], photographs: Sequence[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    """The mean of each channel of the tensors `names`, (channels,), over the photographs."""
    import onnxruntime

    measured = onnx.ModelProto()
    measured.CopyFrom(model)
    graph, wanted = measured.graph, list(dict.fromkeys(names))
    if not wanted:
        return {}
    del graph.output[:]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 2, 3], np.int64), "mean_axes"))
    for name in wanted:
        graph.node.append(onnx.helper.make_node("ReduceMean", [name, "mean_axes"], [f"mean of {name}"], keepdims=0))
        graph.output.append(onnx.helper.make_tensor_value_info(f"mean of {name}", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(measured.SerializeToString(), providers=["CPUExecutionProvider"])
    runs = [session.run(None, {INPUT_NAME: pixels}) for pixels in photographs]
    return {name: np.mean([run[index] for run in runs], axis=0) for index, name in enumerate(wanted)}
