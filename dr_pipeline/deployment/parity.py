"""Parity: whether the exported model decides as the trained one does, photograph by photograph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided, Decision, softmax
from dr_pipeline.errors import GateError
from dr_pipeline.schema import GRADES, REFERABLE_FROM

# Beyond float32 rounding of two runtimes; well below anything a decision could turn on.
MAX_PROBABILITY_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Tolerance:
    """What a format may change.

    Attributes:
        probability: Largest difference of a probability.
        grades: Share of photographs whose grade may change.
        referrals: Share of photographs whose referral may change.
    """

    probability: float
    grades: float
    referrals: float


# Float32 formats: nothing changes.
EXACT = Tolerance(MAX_PROBABILITY_DIFFERENCE, 0.0, 0.0)


@dataclass(frozen=True)
class Parity:
    """Agreement of two models on the same photographs; what counts as a changed grade, the comparison states."""

    n: int
    changed_grades: int
    max_probability_difference: float
    changed_referrals: int = 0


def compare_logits(reference: NDArray[np.float32], exported: NDArray[np.float32]) -> Parity:
    """Compares logits (N, 5) of the trained and of the exported model, before a decision is fitted.

    A grade counts as changed where the most probable one or the rounded expected one differs, a referral where the
    probability of grade 2 or more crosses a half.
    """
    before, after = softmax(reference.astype(np.float64)), softmax(exported.astype(np.float64))
    levels = np.array(GRADES, dtype=np.float64)
    changed = (before.argmax(1) != after.argmax(1)) | (np.rint(before @ levels) != np.rint(after @ levels))
    referable = [probabilities[:, REFERABLE_FROM:].sum(axis=1) >= 0.5 for probabilities in (before, after)]
    return _parity(before, after, changed, referable[0] != referable[1])


def compare_decisions(decision: Decision, reference: NDArray[np.float32], exported: NDArray[np.float32]) -> Parity:
    """Compares what a fitted decision makes of logits (N, 5): calibrated probabilities, grades and referrals."""
    return compare_decided(decision.apply(reference), decision.apply(exported))


def compare_decided(before: Decided, after: Decided) -> Parity:
    """Compares the decisions on the same photographs: calibrated probabilities, grades and referrals."""
    return _parity(
        before.probabilities, after.probabilities, before.grade != after.grade, before.referable != after.referable
    )


def require_parity(parity: Parity, *, where: str, tolerance: Tolerance = EXACT) -> None:
    """Raises GateError where the exported model decides differently from the trained one beyond `tolerance`."""
    n = parity.n
    if (
        parity.changed_grades > tolerance.grades * n
        or parity.changed_referrals > tolerance.referrals * n
        or not parity.max_probability_difference <= tolerance.probability
    ):
        raise GateError(
            f"the export changes {parity.changed_grades} of {n} grades (allowed {tolerance.grades:.1%}) and "
            f"{parity.changed_referrals} referrals (allowed {tolerance.referrals:.1%}); probabilities differ by up to "
            f"{parity.max_probability_difference:.2g}, allowed {tolerance.probability:g}",
            where=where,
            todo="do not ship it; report the versions of torch, onnxscript and onnxruntime in the export's JSON",
        )


def decision_refusal(
    parity: Parity, qwk_difference: Mapping[str, Any], *, tolerance: Tolerance, qwk_margin: float
) -> str:
    """Why a network of fewer bits may not take the place of float32, by what it decides; empty: it may.

    Args:
        parity: Against float32.
        qwk_difference: Its QWK less that of float32, paired: value, low, high, n.
        tolerance: What it may change.
        qwk_margin: The lower end of the interval must be at least its negative.
    """
    try:
        require_parity(parity, where="", tolerance=tolerance)
    except GateError as error:
        return error.what
    value, low, n = (qwk_difference[key] for key in ("value", "low", "n"))
    if low is None:
        return f"the interval of the difference of QWK is undefined (n = {n})"
    if low < -qwk_margin:
        return f"QWK may fall by more than {qwk_margin:g}: {value:+.4f}, lower end {low:+.4f} (n = {n})"
    return ""


def _parity(
    before: NDArray[np.float64], after: NDArray[np.float64], grades: NDArray[np.bool_], referrals: NDArray[np.bool_]
) -> Parity:
    difference = float(np.abs(before - after).max(initial=0.0))
    return Parity(len(before), int(grades.sum()), difference, int(referrals.sum()))
