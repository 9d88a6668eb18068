"""The gate of a format of fewer bits: by its decisions and its time, against the same network in float32."""

from dataclasses import asdict, dataclass
from typing import Any

from dr_pipeline.deployment.parity import Parity, Tolerance, compare_decided, decision_refusal
from dr_pipeline.deployment.selection_inputs import CandidateFiles, compare_paired

# The two were timed one after the other: what lies within the repeatability of a latency is no gain.
_LEAST_SPEEDUP = 1.1


@dataclass(frozen=True)
class FormatGate:
    """What a format may change.

    Attributes:
        tolerance: Of its decisions.
        qwk_margin: The lower end of the paired interval of QWK, format less float32, is at least its negative.
        calibration: The training photographs that int8 must be calibrated on.
    """

    tolerance: Tolerance
    qwk_margin: float
    calibration: int


@dataclass(frozen=True)
class FormatComparison:
    """Attributes:
    parity: Of the decisions, each by the decision fitted to it.
    qwk_difference: Its QWK less that of float32, paired, with interval.
    speedup: Median time of the network in float32 over its own; None: one of them was not measured on the target.
    refusals: Why it may not be deployed; empty: it may.
    """

    parity: Parity
    qwk_difference: dict[str, Any]
    speedup: float | None
    refusals: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For reports/selection.json; the refusals stand among the row's reasons."""
        return {key: value for key, value in asdict(self).items() if key != "refusals"}


def compare_with_float32(
    float32: CandidateFiles, reduced: CandidateFiles, gate: FormatGate, *, replicates: int, seed: int, confidence: float
) -> FormatComparison:
    """Compares a format with float32 on the same validation photographs, and states each reason to refuse it."""
    parity = compare_decided(float32.decided, reduced.decided)
    difference = compare_paired(reduced, float32, replicates=replicates, seed=seed, confidence=confidence)
    speedup = None
    if "steps_ms" in float32.latency and "steps_ms" in reduced.latency:
        speedup = float32.latency["steps_ms"]["network"] / reduced.latency["steps_ms"]["network"]
    calibrated_on = reduced.export.get("calibration")
    reasons = (
        decision_refusal(parity, difference, tolerance=gate.tolerance, qwk_margin=gate.qwk_margin),
        f"its network is not faster on the target: {speedup:.2f} times, at least {_LEAST_SPEEDUP:g} needed"
        if speedup is not None and speedup < _LEAST_SPEEDUP
        else "",
        f"calibrated on {calibrated_on} training photographs, at least {gate.calibration} needed"
        if calibrated_on is not None and calibrated_on < gate.calibration
        else "",
    )
    return FormatComparison(parity, difference, speedup, tuple(filter(None, reasons)))
