"""The gate of a format of fewer bits: by its decisions and its time, against the same network in float32."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dr_pipeline.deployment.candidate_formats import candidate_of
from dr_pipeline.deployment.parity import Parity, Tolerance, compare_decided, decision_refusal
from dr_pipeline.deployment.selection_inputs import CandidateFiles, compare_paired
from dr_pipeline.params.evaluation import Deployment

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

    @classmethod
    def of(cls, deployment: Deployment) -> "FormatGate":
        """The gate of params.yaml."""
        changes = deployment.format_limits
        tolerance = Tolerance(probability=1.0, grades=changes.changed_grades, referrals=changes.changed_referrals)
        return cls(tolerance, changes.qwk_margin, deployment.formats.calibration_photographs)


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


def compare_formats(
    candidates: Mapping[str, CandidateFiles], gate: FormatGate, *, replicates: int, seed: int, confidence: float
) -> dict[str, FormatComparison]:
    """`compare_with_float32` of each candidate that is a format, by name such as `lite0/onnx-int8`."""
    return {
        name: compare_with_float32(
            candidates[candidate_of(name)], files, gate, replicates=replicates, seed=seed, confidence=confidence
        )
        for name, files in candidates.items()
        if name != candidate_of(name)
    }


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
