"""Weights stored as integers, given back as real numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dr_pipeline.errors import DataError

INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32)
# How the codes, their scale and their zero point are named: ONNX Runtime's quantiser; plain dictionaries.
_NAMINGS = (("_quantized", "_scale", "_zero_point"), ("", ".scale", ".zero_point"))


def affine(codes: Tensor, scale: Tensor, zero_point: Tensor | None, *, axis: int, name: str) -> Tensor:
    """(codes - zero point) × scale, in float32 (ONNX: DequantizeLinear).

    Args:
        codes: Integers.
        scale: One number, one for each index of `axis`, or as many axes as `codes`, to be broadcast.
        zero_point: Of the scale's shape; None is 0.
        axis: What a list of scales goes along.
        name: For messages.

    Raises:
        DataError: Scale or zero point does not go with the codes.
    """
    if zero_point is not None and zero_point.shape != scale.shape and zero_point.numel() != 1:
        raise DataError(f"tensor {name!r}: scale has shape {tuple(scale.shape)}, zero point {tuple(zero_point.shape)}")
    given = [scale.float(), torch.zeros(()) if zero_point is None else zero_point.float()]
    shaped = [_along(values, codes, axis, name) for values in given]
    return (codes.float() - shaped[1]) * shaped[0]


def dequantised(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Named tensors with real numbers in place of integers that have a scale beside them.

    Known namings are `X_quantized`, `X_scale`, `X_zero_point` and `X`, `X.scale`, `X.zero_point`. A list of scales goes
    along the first axis, the output channels.

    Returns:
        The tensors without scales and zero points, and what there is to note.

    Raises:
        DataError: A scale does not go with its tensor.
    """
    made = dict(tensors)
    notes = []
    for codes, scale, zero_point in _NAMINGS:
        stems = [name.removesuffix(codes) for name in made if name.endswith(codes) and made[name].dtype in INTEGERS]
        found = [stem for stem in stems if stem + scale in made]
        for stem in found:
            stored = made.pop(stem + codes)
            made[stem] = affine(stored, made.pop(stem + scale), made.pop(stem + zero_point, None), axis=0, name=stem)
        if found:
            notes.append(f"{len(found)} tensors de-quantised from integers: rounding stays in them")
    return made, tuple(notes)


def _along(values: Tensor, codes: Tensor, axis: int, name: str) -> Tensor:
    if values.numel() == 1:
        return values.reshape(())
    if values.ndim == 1 and codes.ndim and values.numel() == codes.shape[axis]:
        shape = [1] * codes.ndim
        shape[axis] = -1
        return values.reshape(shape)
    if values.ndim == codes.ndim and all(a in (1, b) for a, b in zip(values.shape, codes.shape, strict=True)):
        return values
    raise DataError(
        f"tensor {name!r} of shape {tuple(codes.shape)} has scales of shape {tuple(values.shape)}",
        todo="give one scale, or one for each output channel",
    )
