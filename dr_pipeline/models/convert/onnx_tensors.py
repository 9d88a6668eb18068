"""Named tensors of an ONNX graph: its initialisers, de-quantised, and biases named after their weights."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from dr_pipeline.errors import DataError
from dr_pipeline.models.convert.dequantise import affine

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
_QUANTISED = "_quantized"  # ONNX Runtime's name for the codes of a weight
_DEFAULT_AXIS = 1  # of DequantizeLinear


def read_onnx(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Initialisers by name; no operator is run.

    The bias of a convolution or linear layer gets its weight's name (`X.weight`, `X.bias`), since exporters merge equal
    tensors, name what they fold as they like, and leave a bias of zeros out, which is put back.

    Returns:
        The tensors, and what there is to note.

    Raises:
        DataError: Not an ONNX file, or quantised in blocks.
    """
    try:
        graph = onnx.load(path).graph
        stored = {one.name: torch.from_numpy(np.array(numpy_helper.to_array(one))) for one in graph.initializer}
    except Exception as error:  # protobuf, numpy and onnx raise a dozen types; all mean the same to the user
        raise DataError(f"not an ONNX file: {type(error).__name__}: {error}", where=str(path)) from None
    quantised = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored]
    helpers = {name for node in quantised for name in node.input}
    # what an operator reads → how its tensor is named, and the tensor
    values = {name: tensor for name, tensor in stored.items() if name not in helpers}
    names = {name: name for name in values}
    for node in quantised:
        names[node.output[0]] = node.input[0].removesuffix(_QUANTISED)
        values[node.output[0]] = _dequantised(node, stored, path)
    read_as_bias: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in _WEIGHTED and node.input[1] in values:
            name = f"{names[node.input[1]].removesuffix('.weight')}.bias"
            bias = _bias(node, values)
            if bias is not None:
                values[f"bias of {name}"], names[f"bias of {name}"] = bias, name
                read_as_bias.update(node.input[2:3])
    reads = Counter(name for node in graph.node for name in node.input)
    for name in (name for name, count in read_as_bias.items() if count == reads[name]):
        values.pop(name, None)  # it stands under its weight's name now
    constants = [name for name, tensor in values.items() if tensor.dtype in (torch.int64, torch.bool)]
    notes = [f"{len(quantised)} tensors de-quantised from integers: rounding stays in them"] if quantised else []
    if constants:
        notes.append(f"{len(constants)} constants of the graph left out")
    return {names[name]: tensor for name, tensor in values.items() if name not in constants}, tuple(notes)


def _bias(node: onnx.NodeProto, values: dict[str, Tensor]) -> Tensor | None:
    """The bias of a layer; zeros of a convolution without one; None where it is computed in the graph."""
    if len(node.input) > 2 and node.input[2]:
        return values.get(node.input[2])
    return torch.zeros(len(values[node.input[1]])) if node.op_type == "Conv" else None


def _dequantised(node: onnx.NodeProto, stored: dict[str, Tensor], path: Path) -> Tensor:
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    absent = [name for name in node.input if name and name not in stored]
    if attributes.get("block_size") or absent:
        raise DataError(
            f"tensor {node.input[0]!r} is quantised in blocks, or its scale is computed in the graph",
            where=str(path),
            todo="give the weights in float16, bfloat16 or float32",
        )
    codes, scale = stored[node.input[0]], stored[node.input[1]]
    zero_point = stored[node.input[2]] if len(node.input) > 2 and node.input[2] else None
    return affine(codes, scale, zero_point, axis=attributes.get("axis", _DEFAULT_AXIS), name=node.input[0])
