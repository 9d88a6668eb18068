"""What `models weights compare --out` writes: one row per tensor of two networks."""

from dataclasses import dataclass
from enum import StrEnum

from dr_pipeline.tables.table import Table


class TensorStatus(StrEnum):
    """How one tensor of A and B compare."""

    EQUAL = "equal"  # bit by bit
    DIFFERS = "differs"
    SHAPE = "other shape"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRow:
    """One tensor of A beside B's of the same name.

    Attributes:
        tensor: Its name without wrappers' prefixes.
        status: How the two compare.
        shape_a: Empty where A has none.
        shape_b: Empty where B has none.
        max_abs: The largest absolute difference of one number.
        relative: Euclidean norm of the difference over that of A; infinite where A is all zeros.
        cosine: Of the angle between both; None where one is all zeros.
    """

    tensor: str
    status: TensorStatus
    shape_a: str
    shape_b: str
    max_abs: float | None
    relative: float | None
    cosine: float | None


TENSORS = Table(TensorRow, version=None)
read_tensors = TENSORS.read
write_tensors = TENSORS.write
