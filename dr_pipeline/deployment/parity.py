"""Parity: whether the exported model decides as the trained one does, photograph by photograph."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import softmax
from dr_pipeline.errors import GateError
from dr_pipeline.schema import GRADES

# Beyond float32 rounding of two runtimes; well below anything a decision could turn on.
MAX_PROBABILITY_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """Agreement of two models on the same photographs.

    A grade counts as changed where the most probable one or the rounded expected one differs.
    """

    n: int
    changed_grades: int
    max_probability_difference: float


def compare_logits(reference: NDArray[np.float32], exported: NDArray[np.float32]) -> Parity:
    """Compares logits (N, 5) of the trained and of the exported model."""
    before, after = softmax(reference.astype(np.float64)), softmax(exported.astype(np.float64))
    levels = np.array(GRADES, dtype=np.float64)
    changed = (before.argmax(1) != after.argmax(1)) | (np.rint(before @ levels) != np.rint(after @ levels))
    return Parity(len(before), int(changed.sum()), float(np.abs(before - after).max(initial=0.0)))


def require_parity(parity: Parity, *, where: str) -> None:
    """Raises GateError where the exported model would decide differently from the trained one."""
    if parity.changed_grades or not parity.max_probability_difference <= MAX_PROBABILITY_DIFFERENCE:
        raise GateError(
            f"the export changes {parity.changed_grades} of {parity.n} grades; probabilities differ by up to "
            f"{parity.max_probability_difference:.2g}, allowed {MAX_PROBABILITY_DIFFERENCE:g}",
            where=where,
            todo="do not ship it; report the versions of torch, onnxscript and onnxruntime in the export's JSON",
        )
