"""Equalises channels before quantisation: all channels of a tensor share one 8-bit range, in which small ones vanish.

A channel is multiplied where it is made and divided where it is read, which changes nothing in float32 (cross-layer
equalisation, Nagel et al., ICCV 2019, 4.1). Each moves half of the way, on a logarithmic scale, to the largest: all of
it would move the error into the weights that read the tensor (SmoothQuant, Xiao et al., ICML 2023, alpha = 0.5).
ReLU6 cuts at 6 also after the multiplication: a channel is never raised beyond what keeps its largest value seen there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from dr_pipeline.deployment.formats.channel_statistics import channel_maxima, own_constants

_HALF_WAY = 0.5
_SMALLEST = 1e-3  # of the largest channel; a channel below it is as good as empty


@dataclass(frozen=True)
class _Tensors:
    """Tensors with the same channels: one, or those that `Add` joins.

    Attributes:
        names: The tensors.
        made_by: The convolutions that write them, activations left out.
        read_by: The convolutions that read them.
        ceiling: Where an activation cuts them; infinite: nowhere.
    """

    names: tuple[str, ...]
    made_by: tuple[onnx.NodeProto, ...]
    read_by: tuple[onnx.NodeProto, ...]
    ceiling: float


def equalise(model: onnx.ModelProto, photographs: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """A copy of the float32 graph with equalised channels; its logits differ by rounding only on `photographs`.

    Args:
        model: The float32 graph; batch normalisation is part of its convolutions.
        photographs: Training photographs, uint8 RGB (1, s, s, 3).
    """
    equalised = onnx.ModelProto()
    equalised.CopyFrom(model)
    weights = own_constants(equalised.graph)
    found = list(_equalisable(equalised.graph, weights))
    maxima = channel_maxima(model, [name for tensors in found for name in tensors.names], photographs)
    for tensors in found:
        factors = channel_factors(np.max([maxima[name] for name in tensors.names], axis=0), tensors.ceiling)
        for node in tensors.made_by:
            _scale(weights[node.input[1]], factors[:, None, None, None])
            for bias in node.input[2:]:
                _scale(weights[bias], factors)
        for node in tensors.read_by:
            by_input = factors[:, None, None, None] if _group(node) > 1 else factors[None, :, None, None]
            _scale(weights[node.input[1]], 1 / by_input)
    return equalised


def channel_factors(maxima: NDArray[np.float32], ceiling: float) -> NDArray[np.float32]:
    """What each channel is multiplied by, at least 1, shape (channels,).

    Args:
        maxima: The largest absolute value of each channel, (channels,).
        ceiling: No channel may be raised beyond it.
    """
    largest = float(maxima.max(initial=0.0))
    if largest == 0:
        return np.ones_like(maxima)
    seen = np.maximum(maxima.astype(np.float64), _SMALLEST * largest)
    return np.asarray(np.clip((largest / seen) ** _HALF_WAY, 1, np.maximum(ceiling / seen, 1)), np.float32)


def _equalisable(graph: onnx.GraphProto, weights: Mapping[str, onnx.TensorProto]) -> Iterator[_Tensors]:
    """Tensors that only convolutions with weights of their own make and read."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {output.name for output in graph.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for names in _joined(graph):
        made = [makers[name] for name in names if makers[name].op_type != "Add"]
        around = [node for name in names for node in (makers[name], *readers.get(name, []))]
        sums = [node for node in around if node.op_type == "Add"]
        read = [node for name in names for node in readers.get(name, []) if node.op_type != "Add"]
        ceiling = np.inf
        if len(names) == len(made) == 1 and made[0].op_type == "Clip":
            before = made[0].input[0]
            ceiling = _ceiling(made[0], constants)
            made = [makers[before]] if before in makers and len(readers[before]) == 1 else []
        made_here = bool(made) and all(_is_convolution(node, node.input[1:], weights) for node in made)
        read_here = bool(read) and all(_is_convolution(node, node.input[1:2], weights) for node in read)
        sums_inside = all({*node.input, *node.output} <= {*names} for node in sums)
        if made_here and read_here and sums_inside and ceiling > 0 and not outputs & {*names}:
            yield _Tensors(tuple(names), tuple(made), tuple(read), ceiling)


def _joined(graph: onnx.GraphProto) -> list[list[str]]:
    """Outputs of convolutions, activations and sums; those that sums connect together."""
    group = {node.output[0]: [node.output[0]] for node in graph.node if node.op_type in ("Conv", "Clip", "Add")}
    for node in graph.node:
        if node.op_type == "Add":
            for name in node.input:
                if name in group and group[name] is not group[node.output[0]]:
                    group[node.output[0]].extend(group[name])
                    for member in group[name]:
                        group[member] = group[node.output[0]]
    return list({id(names): names for names in group.values()}.values())


def _is_convolution(node: onnx.NodeProto, changed: Sequence[str], weights: Mapping[str, onnx.TensorProto]) -> bool:
    """A convolution, ungrouped or depthwise, of whose inputs those to be changed are constants of its own."""
    if node.op_type != "Conv" or not {*changed} <= weights.keys():
        return False
    out, into = weights[node.input[1]].dims[:2]
    return _group(node) == 1 or (_group(node) == out and into == 1)


def _group(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _ceiling(clip: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> float:
    """The upper bound of an activation that cuts below at 0; 0 where it is another one."""
    bounds = [onnx.numpy_helper.to_array(constants[name]) for name in clip.input[1:] if name in constants]
    return float(bounds[1]) if len(bounds) == 2 and float(bounds[0]) == 0 else 0.0


def _scale(tensor: onnx.TensorProto, factors: NDArray[np.floating]) -> None:
    scaled = onnx.numpy_helper.to_array(tensor) * factors
    tensor.CopyFrom(onnx.numpy_helper.from_array(scaled.astype(np.float32), tensor.name))
