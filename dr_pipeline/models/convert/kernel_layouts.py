"""Kernels of other frameworks, turned to torch's order of axes; guessed only where the shape leaves no doubt."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dr_pipeline.errors import DataError

AS_IS = "none"
# TensorFlow's and JAX's orders: linear (in, out); convolution (height, width, in, out); depthwise convolution
# (height, width, channels, multiplier), whose output channels run over the multiplier first.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "IO": lambda kernel: kernel.permute(1, 0),
    "HWIO": lambda kernel: kernel.permute(3, 2, 0, 1),
    "HWCM": lambda kernel: kernel.permute(2, 3, 0, 1).flatten(0, 1).unsqueeze(1),
}
_AXES = {"IO": 2, "HWIO": 4, "HWCM": 4}


def turned(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, torch.Size], declared: Mapping[str, str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Named tensors in torch's order of axes.

    A file is of another framework where a layout is declared, or one tensor fits only when turned. In such a file a
    tensor that fits both ways, such as a square matrix, must be declared.

    Args:
        tensors: By the network's names.
        wanted: The network's shapes.
        declared: Name → one of LAYOUTS, or AS_IS.

    Returns:
        The tensors, and what there is to note. One that fits in no layout stays as it is.

    Raises:
        DataError: A declared layout has another number of axes, or tensors fit both ways.
    """
    options = {name: _fitting(tensor, wanted[name]) for name, tensor in tensors.items() if name in wanted}
    foreign = any(layout != AS_IS for layout in declared.values()) or any(
        fitting and AS_IS not in fitting for fitting in options.values()
    )
    made = dict(tensors)
    chosen: dict[str, int] = {}
    doubtful = []
    for name, tensor in tensors.items():
        fitting = options.get(name, {})
        layout = declared.get(name) or next(iter(fitting), AS_IS)
        if name not in declared and foreign and _differ(fitting):
            doubtful.append(f"{name} {tuple(tensor.shape)}: {' or '.join(fitting)}")
        if layout == AS_IS:
            continue
        if tensor.ndim != _AXES[layout]:
            raise DataError(f"{name} of shape {tuple(tensor.shape)} cannot be {layout}", todo="mend the name map")
        made[name] = LAYOUTS[layout](tensor)
        chosen[layout] = chosen.get(layout, 0) + 1
    if doubtful:
        raise DataError(
            f"{len(doubtful)} tensors fit in more than one order of axes (first: {doubtful[0]})",
            todo=f"say which in the column `transpose` of the name map: {', '.join((AS_IS, *LAYOUTS))}",
        )
    return made, tuple(f"{count} tensors turned from {layout}" for layout, count in sorted(chosen.items()))


def _fitting(tensor: Tensor, shape: torch.Size) -> dict[str, Tensor]:
    """Layouts in which the tensor has the shape wanted; as it is comes first."""
    found = {AS_IS: tensor} if tensor.shape == shape else {}
    for layout, turn in LAYOUTS.items():
        if tensor.ndim == _AXES[layout] and (kernel := turn(tensor)).shape == shape:
            found[layout] = kernel
    return found


def _differ(fitting: Mapping[str, Tensor]) -> bool:
    kernels = list(fitting.values())
    return any(not torch.equal(kernels[0], kernel) for kernel in kernels[1:])
