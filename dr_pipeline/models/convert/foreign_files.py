"""Reads weights of other formats: ONNX graphs, `.npz` arrays, and integers with a scale beside them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from dr_pipeline.errors import DataError

_INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32)
# Suffixes of quantised values, their scale and their zero point: ONNX Runtime's quantiser; plain dictionaries.
_SUFFIXES = (("_quantized", "_scale", "_zero_point"), ("", ".scale", ".zero_point"))
_WITH_BIAS = ("Conv", "ConvTranspose", "Gemm")
_DEFAULT_AXIS = 1  # of DequantizeLinear
_DEQUANTISED = "{} tensors de-quantised from integers: rounding stays in them"


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Named tensors of an `.npz` file.

    Raises:
        DataError: Not an `.npz` file of plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: torch.from_numpy(stored[name]) for name in stored.files}
    except Exception as error:  # numpy and zipfile raise a dozen types; all mean the same to the user
        raise DataError(f"not an .npz of arrays: {type(error).__name__}: {error}", where=str(path)) from None


def read_onnx(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Named tensors of an ONNX graph: its initialisers, de-quantised. No operator is run.

    The bias of a convolution or linear layer is named after its weight (`X.weight`, `X.bias`): exporters merge equal
    tensors, choose names for what they fold, and omit a bias of zeros, which is restored.

    Returns:
        The tensors, and notes on the changes.

    Raises:
        DataError: Not an ONNX file, or quantised in blocks.
    """
    try:
        graph = onnx.load(path).graph
        stored = {
            tensor.name: torch.from_numpy(np.array(numpy_helper.to_array(tensor))) for tensor in graph.initializer
        }
    except Exception as error:  # protobuf, numpy and onnx raise a dozen types; all mean the same to the user
        raise DataError(f"not an ONNX file: {type(error).__name__}: {error}", where=str(path)) from None
    quantised = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored]
    quantisation_inputs = {name for node in quantised for name in node.input}
    # value name in the graph → tensor, and → name of the tensor in the result
    values = {name: tensor for name, tensor in stored.items() if name not in quantisation_inputs}
    names = {name: name for name in values}
    for node in quantised:
        names[node.output[0]] = node.input[0].removesuffix(_SUFFIXES[0][0])
        values[node.output[0]] = _dequantise_node(node, stored, path)
    bias_reads: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in _WITH_BIAS and node.input[1] in values:
            name = f"{names[node.input[1]].removesuffix('.weight')}.bias"
            bias = _bias(node, values)
            if bias is not None:
                values[f"bias of {name}"], names[f"bias of {name}"] = bias, name
                bias_reads.update(node.input[2:3])
    reads = Counter(name for node in graph.node for name in node.input)
    for name in (name for name, count in bias_reads.items() if count == reads[name]):
        values.pop(name, None)  # stored under the name of its weight now
    constants = [name for name, tensor in values.items() if tensor.dtype in (torch.int64, torch.bool)]
    notes = [_DEQUANTISED.format(len(quantised))] if quantised else []
    if constants:
        notes.append(f"{len(constants)} constants of the graph left out")
    return {names[name]: tensor for name, tensor in values.items() if name not in constants}, tuple(notes)


def dequantise(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Replaces integers that have a scale beside them by real numbers.

    Supported names are `X_quantized`, `X_scale`, `X_zero_point` and `X`, `X.scale`, `X.zero_point`. A vector of scales
    runs along the first axis, the output channels.

    Returns:
        The tensors without scales and zero points, and notes on the changes.

    Raises:
        DataError: A scale does not fit its tensor.
    """
    result = dict(tensors)
    notes = []
    for values, scale, zero_point in _SUFFIXES:
        stems = [
            stem
            for name in result
            if name.endswith(values) and result[name].dtype in _INTEGERS
            if (stem := name.removesuffix(values)) + scale in result
        ]
        for stem in stems:
            quantised = result.pop(stem + values)
            result[stem] = dequantise_linear(
                quantised, result.pop(stem + scale), result.pop(stem + zero_point, None), axis=0, name=stem
            )
        if stems:
            notes.append(_DEQUANTISED.format(len(stems)))
    return result, tuple(notes)


def dequantise_linear(values: Tensor, scale: Tensor, zero_point: Tensor | None, *, axis: int, name: str) -> Tensor:
    """(values - zero point) × scale, in float32 (ONNX: DequantizeLinear).

    Args:
        values: Integers.
        scale: One number, one for each index of `axis`, or as many axes as `values`, to be broadcast.
        zero_point: Of the scale's shape; None is 0.
        axis: Of a vector of scales.
        name: For messages.

    Raises:
        DataError: Scale or zero point does not fit the values.
    """
    if zero_point is not None and zero_point.shape != scale.shape and zero_point.numel() != 1:
        raise DataError(f"tensor {name!r}: scale has shape {tuple(scale.shape)}, zero point {tuple(zero_point.shape)}")
    offset = torch.zeros(()) if zero_point is None else zero_point.float()
    scale, offset = (_broadcastable(parameter, values, axis, name) for parameter in (scale.float(), offset))
    return (values.float() - offset) * scale


def _broadcastable(parameter: Tensor, values: Tensor, axis: int, name: str) -> Tensor:
    if parameter.numel() == 1:
        return parameter.reshape(())
    if parameter.ndim == 1 and values.ndim and parameter.numel() == values.shape[axis]:
        shape = [1] * values.ndim
        shape[axis] = -1
        return parameter.reshape(shape)
    if parameter.ndim == values.ndim and all(a in (1, b) for a, b in zip(parameter.shape, values.shape, strict=True)):
        return parameter
    raise DataError(
        f"tensor {name!r} of shape {tuple(values.shape)} has scales of shape {tuple(parameter.shape)}",
        todo="give one scale, or one for each output channel",
    )


def _bias(node: onnx.NodeProto, values: Mapping[str, Tensor]) -> Tensor | None:
    """The bias of a layer; zeros of a convolution without one; None if it is computed in the graph."""
    if len(node.input) > 2 and node.input[2]:
        return values.get(node.input[2])
    return torch.zeros(len(values[node.input[1]])) if node.op_type == "Conv" else None


def _dequantise_node(node: onnx.NodeProto, stored: Mapping[str, Tensor], path: Path) -> Tensor:
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    computed = [name for name in node.input if name and name not in stored]
    if attributes.get("block_size") or computed:
        raise DataError(
            f"tensor {node.input[0]!r} is quantised in blocks, or its scale is computed in the graph",
            where=str(path),
            todo="give the weights in float16, bfloat16 or float32",
        )
    values, scale = stored[node.input[0]], stored[node.input[1]]
    zero_point = stored[node.input[2]] if len(node.input) > 2 and node.input[2] else None
    return dequantise_linear(values, scale, zero_point, axis=attributes.get("axis", _DEFAULT_AXIS), name=node.input[0])
