"""What `models compare --out` writes: one row per tensor of two networks."""

from dataclasses import dataclass
from enum import StrEnum

from dr_pipeline.tables.table import Table


class TensorStatus(StrEnum):
    """Result of comparing one tensor of A and B."""

    EQUAL = "equal"  # bitwise
    DIFFERS = "differs"
    SHAPE = "other shape"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRow:
    """One tensor of A beside B's of the same name.

    Attributes:
        tensor: Its name without wrapper prefixes.
        status: The result.
        shape_a: Such as 8×3×3×3; empty if A lacks it.
        shape_b: As well.
        max_abs: Largest absolute difference of one number.
        relative: Euclidean norm of the difference relative to A's; infinite if A is all zeros.
        cosine: Cosine similarity; None if one is all zeros.
    """

    tensor: str
    status: TensorStatus
    shape_a: str
    shape_b: str
    max_abs: float | None = None
    relative: float | None = None
    cosine: float | None = None


TENSORS = Table(TensorRow, version=None)
