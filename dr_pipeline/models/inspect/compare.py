"""Two sets of weights, tensor by tensor."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from dr_pipeline.errors import DataError
from dr_pipeline.models.weights.match import PREFIXES

COLUMNS = ("tensor", "status", "shape_a", "shape_b", "max_abs", "relative", "cosine")


class Status(StrEnum):
    """How one tensor of A and B compare."""

    EQUAL = "equal"  # bit by bit
    DIFFERS = "differs"
    SHAPE = "other shape"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


@dataclass(frozen=True)
class TensorDifference:
    """One tensor of A beside B's of the same name.

    Attributes:
        tensor: Its name without wrappers' prefixes.
        status: In a word.
        shape_a: Empty where A has none.
        shape_b: Empty where B has none.
        max_abs: The largest difference of one number.
        relative: Euclidean length of the difference, as a share of A's length; infinite where A is all zeros.
        cosine: Of the angle between both; None where one is all zeros.
    """

    tensor: str
    status: Status
    shape_a: str
    shape_b: str
    max_abs: float | None
    relative: float | None
    cosine: float | None

    def row(self) -> dict[str, Any]:
        """The table's row."""
        return {column: getattr(self, column) for column in COLUMNS}


def differences(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> tuple[TensorDifference, ...]:
    """Compares every tensor of both, in A's order and then B's.

    Args:
        a: Name → tensor; names may carry wrappers' prefixes.
        b: As well.

    Raises:
        DataError: Two tensors of one side have one name without prefixes.
    """
    left, right = _plain(a, "A"), _plain(b, "B")
    return tuple(_difference(name, left.get(name), right.get(name)) for name in dict.fromkeys((*left, *right)))


def _plain(tensors: Mapping[str, Tensor], side: str) -> dict[str, Tensor]:
    plain: dict[str, Tensor] = {}
    for stored, tensor in tensors.items():
        name = stored
        while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), ""):
            name = name.removeprefix(prefix)
        if name in plain:
            raise DataError(f"two tensors of {side} are named {name!r} once wrappers' prefixes are taken off")
        plain[name] = tensor
    return plain


def _difference(name: str, a: Tensor | None, b: Tensor | None) -> TensorDifference:
    shape_a, shape_b = _shape(a), _shape(b)
    if a is None or b is None:
        status = Status.ONLY_B if a is None else Status.ONLY_A
        return TensorDifference(name, status, shape_a, shape_b, None, None, None)
    if a.shape != b.shape:
        return TensorDifference(name, Status.SHAPE, shape_a, shape_b, None, None, None)
    left, right = a.double().flatten(), b.double().flatten()
    apart, lengths = (left - right).abs(), (float(left.norm()), float(right.norm()))
    length, product = float(apart.norm()), lengths[0] * lengths[1]
    return TensorDifference(
        name,
        Status.EQUAL if torch.equal(left, right) else Status.DIFFERS,
        shape_a,
        shape_b,
        max_abs=float(apart.max()) if apart.numel() else 0.0,
        relative=length / lengths[0] if lengths[0] else (float("inf") if length else 0.0),
        cosine=float(left @ right) / product if product else None,
    )


def _shape(tensor: Tensor | None) -> str:
    return "" if tensor is None else "×".join(map(str, tensor.shape)) or "1"
