"""What raised the grade, as a second output: a part that, appended to model.onnx, is the graph that has it.

Two protobuf messages one after the other are one message with the contents of both (protobuf.dev, "Encoding"). So the
part adds nodes and an output to the network, which itself stays as it is, byte for byte: who scores loads it without.
The nodes are the network's own backward pass, by the chain rule, down to a feature map of at least `MIN_CELLS` cells a
side: feature times gradient, summed over the channels (HiResCAM, Draelos & Carin 2020, arXiv:2011.08891). At the last
feature map, where it equals the class activation map, a cell of a network for 160 px is a fifth of the field wide, far
more than a lesion; reports/benchmarks/explanations.json compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from dr_pipeline.bundle.attribution import ATTRIBUTION_NAME, GRID
from dr_pipeline.bundle.session import INPUT_NAME, LOGITS_NAME
from dr_pipeline.schema import GRADES, NUM_GRADES

MIN_CELLS = 32
_POOLS = ("GlobalAveragePool", "ReduceMean")
# Between pool and classifier: what changes the shape alone; and what lies between a weight in 8 bits and its use.
_SHAPES = ("Cast", "Dropout", "Flatten", "Gather", "Identity", "Reshape", "Squeeze")
_STRAIGHT_THROUGH = ("DequantizeLinear", "Identity", "QuantizeLinear")
_WINDOWS = ("AveragePool", "Conv", "MaxPool")


class _NoDerivativeError(Exception):
    """The network has an operator whose derivative is not written here."""


def attribution_part(model: bytes, *, min_cells: int = MIN_CELLS) -> bytes:
    """The part to append to `model`; empty where there is none for its architecture.

    There is one where a linear classifier follows the mean over the last feature map, and the operators behind a
    feature map of `min_cells` are those of convolutional networks with ReLU, ReLU6 or SiLU, with or without
    squeeze-and-excitation. The output `attribution` is float32 (N, 1, h, w): what each cell adds to the severity, the
    sum of the logits, each times its distance from grade 2.

    Args:
        model: uint8 (N, s, s, 3) → logits and probabilities, as `export_onnx` writes it, or in 8 bits.
        min_cells: Cells along a side of the feature map.
    """
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    network = _Network.of(graph)
    classifier = network.producers.get(LOGITS_NAME)
    if classifier is None or classifier.op_type not in ("Gemm", "MatMul"):
        return b""
    weights, last = network.weights.get(classifier.input[1]), network.pooled(classifier.input[0])
    if weights is None or last not in network.shapes:
        return b""
    matrix = numpy_helper.to_array(weights)
    matrix = matrix.T if _attribute(classifier, "transB", 0) else matrix  # (channels, grades)
    path = network.path(last)
    layer = _last_cut(path, network.shapes, min_cells)
    if matrix.shape != (network.shapes[last][1], NUM_GRADES) or layer is None:
        return b""
    severity = matrix @ (np.array(GRADES, np.float32) - np.float32(np.mean(GRADES)))
    backward = _Backward(network, last, severity.astype(np.float32) * _attribute(classifier, "alpha", 1.0))
    try:
        for node in reversed(path[layer + 1 :]):
            backward.through(node)
        grid = network.grid(path[: layer + 1])
    except _NoDerivativeError:
        return b""
    return backward.part(path[layer].output[0], grid)


@dataclass(frozen=True)
class _Network:
    """A graph by the names of its tensors."""

    nodes: Sequence[NodeProto]
    producers: dict[str, NodeProto]
    weights: dict[str, TensorProto]
    shapes: dict[str, tuple[int, ...]]  # of 4 dimensions; -1 is the batch

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> "_Network":
        dims = {info.name: info.type.tensor_type.shape.dim for info in graph.value_info}
        return cls(
            graph.node,
            {output: node for node in graph.node for output in node.output},
            {tensor.name: tensor for tensor in graph.initializer},
            {name: (-1, *(dim.dim_value for dim in all_[1:])) for name, all_ in dims.items() if len(all_) == 4},
        )

    def pooled(self, name: str) -> str:
        """The feature map whose mean is `name`, but for its shape; empty where it is none."""
        while name in self.producers:
            node = self.producers[name]
            if node.op_type in _POOLS:
                return str(node.input[0])
            if node.op_type not in _SHAPES:
                return ""
            name = node.input[0]
        return ""

    def path(self, last: str) -> list[NodeProto]:
        """The nodes between the picture and the tensor `last`, in the order of the graph."""
        reached, after = {INPUT_NAME}, list[NodeProto]()
        for node in self.nodes:
            if reached.intersection(node.input):
                reached.update(node.output)
                after.append(node)
        needed, path = {last}, list[NodeProto]()
        for node in reversed(after):
            if needed.intersection(node.output):
                needed.update(node.input)
                path.insert(0, node)
        return path

    def sides(self, name: str) -> NDArray[np.int64]:
        """Rows and columns of a feature map."""
        if name not in self.shapes:
            raise _NoDerivativeError
        return np.array(self.shapes[name][2:], np.int64)

    def weight(self, name: str) -> TensorProto:
        """The stored tensor behind a weight, which in 8 bits is dequantised first."""
        while name not in self.weights:
            if name not in self.producers or self.producers[name].op_type not in _STRAIGHT_THROUGH:
                raise _NoDerivativeError
            name = self.producers[name].input[0]
        return self.weights[name]

    def grid(self, path: Sequence[NodeProto]) -> tuple[float, float, float]:
        """Distance of the cells at the end of the path, and x and y of the first one's centre, in px of the input.

        TensorFlow's padding adds more behind than before, PyTorch's the same: at stride 8 their cells are 7 px apart.
        """
        way, wanted = list[NodeProto](), path[-1].output[0]
        for node in reversed(path):  # along one of the ways: all of them lead to the same places
            if wanted in node.output:
                way.insert(0, node)
                wanted = node.input[0]
        step, centre = 1, np.array([0.5, 0.5])  # rows and columns
        for node in way:
            if node.op_type == "Pad":
                raise _NoDerivativeError
            if node.op_type in _WINDOWS:
                window = _Window.of(node, self)
                centre = centre + ((window.span - 1) / 2 - window.before) * step
                step *= int(window.strides[0])
        return step, float(centre[1]), float(centre[0])


@dataclass(frozen=True)
class _Window:
    """What a convolution or a pool sees: rows and columns."""

    kernel: NDArray[np.int64]
    strides: NDArray[np.int64]
    dilations: NDArray[np.int64]
    before: NDArray[np.int64]  # padding
    after: NDArray[np.int64]

    @classmethod
    def of(cls, node: NodeProto, network: _Network) -> "_Window":
        if _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            raise _NoDerivativeError
        kernel = _attribute(node, "kernel_shape", ())
        if not kernel:
            kernel = network.weight(node.input[1]).dims[2:]
        pads = _attribute(node, "pads", (0, 0, 0, 0))
        sides = (kernel, _attribute(node, "strides", (1, 1)), _attribute(node, "dilations", (1, 1)), pads[:2], pads[2:])
        return cls(*(np.array(side, np.int64) for side in sides))

    @property
    def span(self) -> NDArray[np.int64]:
        """Rows and columns from the first to the last that it sees."""
        return self.dilations * (self.kernel - 1) + 1


def _last_cut(path: Sequence[NodeProto], shapes: dict[str, tuple[int, ...]], min_cells: int) -> int | None:
    """The last node of the path whose output is the only way on, and a feature map of at least `min_cells`."""
    last_use = {name: index for index, node in enumerate(path) for name in node.input}
    found, alive, convolved = None, {INPUT_NAME}, False
    for index, node in enumerate(path):
        convolved |= node.op_type == "Conv"
        alive = {name for name in alive | set(node.output) if last_use.get(name, -1) > index}
        shape = shapes.get(node.output[0], ())
        is_feature_map = convolved and len(shape) == 4 and min(shape[2:]) >= min_cells
        if is_feature_map and alive <= {node.output[0]} and node.op_type != "QuantizeLinear":  # of whole numbers
            found = index
    return found


class _Backward:
    """The nodes of the backward pass; `gradients` names the gradient of a tensor of the network."""

    def __init__(self, network: _Network, last: str, severity: NDArray[np.float32]) -> None:
        self._network = network
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        cells = network.sides(last).prod()
        kernel = self._constant((severity / np.float32(cells))[None, :, None, None])
        self.gradients = {last: self._spread(kernel, last)}

    def through(self, node: NodeProto) -> None:
        """Adds the gradients of a node's inputs, from that of its output."""
        gradient, output = self.gradients[node.output[0]], node.output[0]
        kind, first = node.op_type, node.input[0]
        if kind in ("DequantizeLinear", "Identity"):
            self._add(first, gradient)
        elif kind == "Conv":
            self._add(first, self._of_convolution(node, gradient))
        elif kind in ("Clip", "QuantizeLinear", "Relu"):
            self._add(first, self._where_free(node, gradient))
        elif kind == "Sigmoid":
            slope = self._node("Mul", output, self._node("Sub", self._constant(np.array(1, np.float32)), output))
            self._add(first, self._node("Mul", gradient, slope))
        elif kind == "Add":
            for name in node.input:
                self._add(name, self._summed(gradient, output, name))
        elif kind == "Mul":
            for name, other in zip(node.input, reversed(node.input), strict=True):
                self._add(name, self._summed(self._node("Mul", gradient, other), output, name))
        elif kind in _POOLS and self._network.sides(output).tolist() == [1, 1]:
            cells = self._constant(np.array(self._network.sides(first).prod(), np.float32))
            self._add(first, self._spread(self._node("Div", gradient, cells), first))
        else:
            raise _NoDerivativeError

    def part(self, layer: str, grid: tuple[float, float, float]) -> bytes:
        """The serialised part: feature times gradient at `layer`, summed over its channels."""
        product = self._node("Mul", layer, self.gradients[layer])
        axes = self._constant(np.array([1], np.int64))
        self._nodes.append(helper.make_node("ReduceSum", [product, axes], [ATTRIBUTION_NAME], keepdims=1))
        part = onnx.ModelProto()
        part.graph.node.extend(self._nodes)
        part.graph.initializer.extend(self._constants)
        part.graph.output.append(helper.make_tensor_value_info(ATTRIBUTION_NAME, TensorProto.FLOAT, None))
        helper.set_model_props(part, {GRID: " ".join(f"{value:g}" for value in grid)})
        return bytes(part.SerializeToString(deterministic=True))

    def _of_convolution(self, node: NodeProto, gradient: str) -> str:
        window = _Window.of(node, self._network)
        source, result = self._network.sides(node.input[0]), self._network.sides(node.output[0])
        # rows and columns at the end that the convolution never reached
        unseen = source + window.before + window.after - ((result - 1) * window.strides + window.span)
        return self._node(
            "ConvTranspose",
            gradient,
            node.input[1],
            strides=window.strides.tolist(),
            pads=[*window.before.tolist(), *window.after.tolist()],
            dilations=window.dilations.tolist(),
            group=_attribute(node, "group", 1),
            output_padding=unseen.tolist(),
        )

    def _where_free(self, node: NodeProto, gradient: str) -> str:
        """The gradient where the output is not at a bound; in 8 bits the range of the numbers clips as ReLU6 did."""
        output, zero = node.output[0], self._constant(np.array(0, np.float32))
        if node.op_type == "QuantizeLinear":
            output, bounds = self._node("Cast", output, to=TensorProto.FLOAT), self._integer_bounds(node)
        else:
            bounds = [*node.input[1:]] if node.op_type == "Clip" else [zero]
        for compare, bound in zip(("Greater", "Less"), bounds, strict=False):
            if bound:
                gradient = self._node("Where", self._node(compare, output, bound), gradient, zero)
        return gradient

    def _integer_bounds(self, node: NodeProto) -> list[str]:
        """The least and the largest whole number that a tensor is quantised to."""
        zero_point = self._network.weights.get(node.input[2]) if len(node.input) == 3 else None
        if zero_point is None:
            raise _NoDerivativeError
        limits = np.iinfo(numpy_helper.to_array(zero_point).dtype)
        return [self._constant(np.array(limit, np.float32)) for limit in (limits.min, limits.max)]

    def _summed(self, gradient: str, output: str, name: str) -> str:
        """The gradient of an input that was spread over the cells of the output."""
        if name not in self._network.producers:  # a constant: its gradient is not asked for
            return gradient
        before, after = self._network.sides(name).tolist(), self._network.sides(output).tolist()
        if before == after:
            return gradient
        if before != [1, 1]:
            raise _NoDerivativeError
        return self._node("ReduceSum", gradient, self._constant(np.array([2, 3], np.int64)), keepdims=1)

    def _add(self, name: str, gradient: str) -> None:
        if name in self._network.producers:
            before = self.gradients.get(name)
            self.gradients[name] = self._node("Add", before, gradient) if before else gradient

    def _spread(self, gradient: str, name: str) -> str:
        return self._node("Expand", gradient, self._node("Shape", name))

    def _node(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{ATTRIBUTION_NAME}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, value: NDArray[np.generic]) -> str:
        name = f"{ATTRIBUTION_NAME}_constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), default)
