"""Bias correction: what rounding a layer's weights adds to its outputs on average is taken off its bias.

Inputs behind a ReLU are positive, so that rounding errors of weights do not cancel: they shift whole channels. The
shift is the rounding error times the mean input, measured on training photographs (Nagel et al., ICCV 2019, 4.2).
"""

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray

from dr_pipeline.deployment.formats.channel_statistics import Channels, own_constants

_LEVELS = 127  # of signed 8-bit weights, symmetric


def correct_biases(model: onnx.ModelProto, layers: Collection[str], means: Channels) -> onnx.ModelProto:
    """A copy of the float32 graph, to be quantised, in which the biases of `layers` are corrected.

    Args:
        model: The float32 graph; batch normalisation is part of its convolutions.
        layers: Names of the convolutions that will be quantised.
        means: The mean of each channel by tensor, on training photographs, of at least their inputs.
    """
    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    constants = own_constants(corrected.graph)
    for node in correctable(corrected):
        if node.name in layers:
            _, weight, bias = node.input
            shift = rounding_shift(onnx.numpy_helper.to_array(constants[weight]), means[node.input[0]])
            values = (onnx.numpy_helper.to_array(constants[bias]) - shift).astype(np.float32)
            constants[bias].CopyFrom(onnx.numpy_helper.from_array(values, bias))
    return corrected


def correctable(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The convolutions with a weight and a bias of their own."""
    constants = own_constants(model.graph).keys()
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and len(node.input) == 3 and {*node.input[1:]} <= constants
    ]


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
