"""What quantisation must know of a float32 graph: statistics of its channels, and which constants are a layer's own."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from dr_pipeline.bundle.session import INPUT_NAME

Channels = Mapping[str, NDArray[np.float32]]


def own_constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The constants that one node alone reads, by name: to change one changes no other layer."""
    readers = Counter(name for node in graph.node for name in node.input)
    return {tensor.name: tensor for tensor in graph.initializer if readers[tensor.name] == 1}


def channel_means(model: onnx.ModelProto, names: Sequence[str], photographs: Sequence[NDArray[np.uint8]]) -> Channels:
    """The mean of each channel of the tensors `names`, (channels,), over the photographs."""
    measured = _measure(model, ["ReduceMean"], names, photographs)
    return {name: means.mean(axis=(0, 1)) for name, means in measured.items()}


def channel_maxima(model: onnx.ModelProto, names: Sequence[str], photographs: Sequence[NDArray[np.uint8]]) -> Channels:
    """The largest absolute value of each channel of the tensors `names`, (channels,), over the photographs."""
    measured = _measure(model, ["ReduceMax", "ReduceMin"], names, photographs)
    return {name: np.abs(extremes).max(axis=(0, 1)) for name, extremes in measured.items()}


def _measure(
    model: onnx.ModelProto, operators: Sequence[str], names: Sequence[str], photographs: Sequence[NDArray[np.uint8]]
) -> Channels:
    """Each operator over each photograph's pixels, (photographs, operators, channels), by tensor."""
    import onnxruntime

    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    measured = onnx.ModelProto()
    measured.CopyFrom(model)
    graph = measured.graph
    del graph.output[:]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 2, 3], np.int64), "measured axes"))
    for name in wanted:
        for operator in operators:
            output = f"{operator} of {name}"
            graph.node.append(onnx.helper.make_node(operator, [name, "measured axes"], [output], keepdims=0))
            graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(measured.SerializeToString(), providers=["CPUExecutionProvider"])
    runs = [session.run(None, {INPUT_NAME: pixels}) for pixels in photographs]
    count = len(operators)
    return {
        name: np.array([run[count * index : count * (index + 1)] for run in runs]) for index, name in enumerate(wanted)
    }
