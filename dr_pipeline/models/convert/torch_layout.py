"""Names and axis orders of other frameworks' tensors → those of the torch network.

Names come from a name map, a CSV table with the columns `from`, `to` and optionally `transpose`. Axis orders are
declared there, or inferred where the shape is unambiguous.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv

UNCHANGED = "none"
# TensorFlow's and JAX's axis orders: linear (in, out); convolution (height, width, in, out); depthwise convolution
# (height, width, channels, multiplier), whose output channels run over the multiplier first.
TO_TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "IO": lambda kernel: kernel.permute(1, 0),
    "HWIO": lambda kernel: kernel.permute(3, 2, 0, 1),
    "HWCM": lambda kernel: kernel.permute(2, 3, 0, 1).flatten(0, 1).unsqueeze(1),
}
_NUM_AXES = {"IO": 2, "HWIO": 4, "HWCM": 4}
_LAYOUTS = (UNCHANGED, *TO_TORCH)
_FIX_MAP = "fix the name map"


@dataclass(frozen=True)
class NameRule:
    """One row of a name map: a tensor of the file, its new name (empty: left out), its layout (empty: by its shape)."""

    stored: str
    name: str
    layout: str


def read_name_map(path: Path) -> tuple[NameRule, ...]:
    """Reads a name map.

    Raises:
        DataError: The table cannot be read, two rows name one tensor, or a layout is unknown.
    """
    columns = ("from", "to", "transpose")
    rules = tuple(NameRule(*(row.get(name, "") for name in columns)) for row in read_csv(path, columns[:2]))
    for number, rule in enumerate(rules, start=2):
        where = f"{path}, row {number}"
        if rule.layout not in ("", *_LAYOUTS):
            raise DataError(
                f"transpose is {rule.layout!r}",
                where=where,
                todo=f"use one of {', '.join(_LAYOUTS)}, or none",
            )
        earlier = rules[: number - 2]
        if any(rule.stored == other.stored or (rule.name and rule.name == other.name) for other in earlier):
            raise DataError(f"{rule.stored!r} or {rule.name!r} is named twice", where=where, todo=_FIX_MAP)
    return rules


def rename_tensors(
    tensors: Mapping[str, Tensor], rules: tuple[NameRule, ...], *, where: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Applies a name map; tensors that it does not name keep their names.

    Returns:
        The tensors, and notes on the changes.

    Raises:
        DataError: The map names a tensor that the file lacks, or gives a name that is taken.
    """
    result = dict(tensors)
    if missing := [rule.stored for rule in rules if rule.stored not in result]:
        raise DataError(
            f"the name map names {len(missing)} tensors that are not in the file (first: {missing[0]})",
            where=where,
            todo=_FIX_MAP,
        )
    mapped = [(rule, result.pop(rule.stored)) for rule in rules]
    for rule, tensor in mapped:
        if rule.name in result:
            raise DataError(f"two tensors are named {rule.name!r} after the map", where=where, todo=_FIX_MAP)
        if rule.name:
            result[rule.name] = tensor
    left_out = sum(not rule.name for rule in rules)
    notes = [f"{len(rules) - left_out} tensors renamed"] if rules else []
    if left_out:
        notes.append(f"{left_out} tensors left out by the map")
    return result, tuple(notes)


def to_torch_layout(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], declared: Mapping[str, str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Permutes kernels to torch's axis order.

    A file comes from another framework if a layout is declared or a tensor fits only when permuted. In such a file
    tensors that fit in several layouts, such as square matrices, must be declared.

    Args:
        tensors: By the network's names.
        shapes: Of the network.
        declared: Name → key of TO_TORCH, or UNCHANGED.

    Returns:
        The tensors, and notes on the changes. A tensor that fits in no layout is unchanged.

    Raises:
        DataError: A declared layout has another number of axes, or tensors fit in several layouts.
    """
    options = {name: _fitting_layouts(tensor, shapes[name]) for name, tensor in tensors.items() if name in shapes}
    is_foreign = any(layout != UNCHANGED for layout in declared.values()) or any(
        fitting and UNCHANGED not in fitting for fitting in options.values()
    )
    result = dict(tensors)
    counts: Counter[str] = Counter()
    ambiguous = []
    for name, tensor in tensors.items():
        fitting = options.get(name, {})
        layout = declared.get(name) or next(iter(fitting), UNCHANGED)
        if name not in declared and is_foreign and _differ(fitting):
            ambiguous.append(f"{name} {tuple(tensor.shape)}: {' or '.join(fitting)}")
        if layout == UNCHANGED:
            continue
        if tensor.ndim != _NUM_AXES[layout]:
            raise DataError(f"{name} of shape {tuple(tensor.shape)} cannot be {layout}", todo=_FIX_MAP)
        result[name] = TO_TORCH[layout](tensor)
        counts[layout] += 1
    if ambiguous:
        raise DataError(
            f"{len(ambiguous)} tensors fit in more than one axis order (first: {ambiguous[0]})",
            todo=f"declare it in the column `transpose` of the name map: {', '.join(_LAYOUTS)}",
        )
    return result, tuple(f"{count} tensors turned from {layout}" for layout, count in sorted(counts.items()))


def _fitting_layouts(tensor: Tensor, shape: torch.Size) -> dict[str, Tensor]:
    """Layouts in which the tensor has the given shape → the tensor in torch's; UNCHANGED comes first."""
    fitting = {UNCHANGED: tensor} if tensor.shape == shape else {}
    for layout, permute in TO_TORCH.items():
        if tensor.ndim == _NUM_AXES[layout] and (kernel := permute(tensor)).shape == shape:
            fitting[layout] = kernel
    return fitting


def _differ(fitting: Mapping[str, Tensor]) -> bool:
    kernels = list(fitting.values())
    return any(not torch.equal(kernels[0], kernel) for kernel in kernels[1:])
