"""The result in words and as drift.json."""

import math
from typing import Any

from dr_pipeline.bundle.reference import RATES, Reference
from dr_pipeline.clinic.drift.compare import SHOWN_QUANTILES, Comparison, Drift, Verdict
from dr_pipeline.schema import RESEARCH_USE

VERSION = 1
LABELS = {
    "megapixels": "resolution, megapixels",
    "disc_radius": "radius of the retina, px",
    "brightness": "brightness",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "red_over_green": "red over green",
    "blue_over_green": "blue over green",
    "quality": "quality score",
    "expected_grade": "expected grade",
    "referable_probability": "probability of referable disease",
    "rejected": "rejected as ungradable",
    "referable": "referable",
}
_MAX_NAMED = 3


def headline(drift: Drift) -> str:
    """One line: the verdict, the worst measures, unknown cameras."""
    counts = f"{len(drift.batch.observed)} photographs of {_patients(drift):.0f} patients"
    notes = [sentence(comparison) for comparison in drift.warnings[:_MAX_NAMED]]
    if more := len(drift.warnings) - _MAX_NAMED:
        notes += [f"and {more} more"] if more > 0 else []
    notes += [camera_warning(drift)] if drift.cameras.unknown else []
    verdict = "stable" if drift.verdict is Verdict.STABLE else f"WARNING, {drift.verdict}"
    return "; ".join([f"{counts}: {verdict}", *notes])


def camera_warning(drift: Drift) -> str:
    """`12 photographs of unknown cameras (Topcon NW400 12)`; "" where none is unknown."""
    unknown = drift.cameras.unknown
    if not unknown:
        return ""
    named = ", ".join(f"{name} {count}" for name, count in sorted(unknown.items(), key=lambda item: -item[1])[:5])
    return f"{sum(unknown.values())} photographs of cameras that are not in {drift.cameras.allowed} ({named})"


def detection_sentence(drift: Drift) -> str:
    """What a batch of this size can detect at all."""
    shifts = [each.detectable for each in drift.comparisons if each.kind == "all" and each.detectable is not None]
    largest = max(shifts, default=math.inf)
    patients = _patients(drift)
    if math.isinf(largest):
        return f"{patients:.0f} patients are too few: no shift of any size would be significant. Pool several batches."
    return (
        f"With {patients:.0f} patients a shift of {min(shifts):.2f} to {largest:.2f} standard deviations, by measure, "
        "is found in about every second batch; smaller ones mostly are not."
    )


def to_dict(drift: Drift, reference: Reference) -> dict[str, Any]:
    """The content of drift.json."""
    limits, batch = drift.limits, drift.batch
    return {
        "schema_version": VERSION,
        "use": RESEARCH_USE,
        "batch": {
            "name": batch.name,
            "sha256": batch.sha256,
            "bundle_id": batch.bundle_id,
            "photographs": len(batch.observed),
            "patients": _patients(drift),
            "rows": {status.value: count for status, count in batch.by_status.items()},
            "duplicates": batch.duplicates,
        },
        "reference": {"made_from": dict(reference.made_from), "compared_with": drift.mix},
        "verdict": drift.verdict,
        "limits": {
            "alpha": limits.alpha,
            "correction": "Holm, over all comparisons",
            "tolerance": limits.tolerance,
            "index_beyond_chance": {"watch": limits.watch, "drift": limits.drift},
            "difference_of_a_rate": {"watch": limits.rate_watch, "drift": limits.rate_drift},
        },
        "detects": detection_sentence(drift),
        "comparisons": [_comparison(comparison) for comparison in drift.comparisons],
        "cameras": {
            "allowed_by": drift.cameras.allowed,
            "photographs": dict(drift.cameras.counts),
            "unknown": dict(drift.cameras.unknown),
            "without_a_name": drift.cameras.nameless,
        },
        "not_compared_alone": dict(drift.left_out),
    }


def _patients(drift: Drift) -> float:
    return max((each.patients for each in drift.comparisons if each.kind == "all"), default=0.0)


def sentence(comparison: Comparison) -> str:
    """`drift of brightness of camera Topcon NW400: 96 instead of 125 (index 0.62)`."""
    where = "" if comparison.kind == "all" else f" of {comparison.kind} {comparison.group}"
    found, expected = (format_value(comparison.measure, values) for values in (comparison.batch, comparison.reference))
    size = "" if comparison.index is None else f" (index {comparison.index:.2f})"
    return f"{comparison.verdict} of {LABELS[comparison.measure]}{where}: {found} instead of {expected}{size}"


def format_value(measure: str, values: tuple[float, ...]) -> str:
    """The median, or the rate as a percentage."""
    return f"{100 * values[0]:.1f} %" if measure in RATES else f"{values[SHOWN_QUANTILES.index(0.5)]:.4g}"


def _comparison(comparison: Comparison) -> dict[str, Any]:
    is_rate = comparison.measure in RATES

    def shown(values: tuple[float, ...]) -> Any:
        names = (f"p{round(100 * level)}" for level in SHOWN_QUANTILES)
        return values[0] if is_rate else dict(zip(names, values, strict=True))

    detectable = comparison.detectable
    return {
        "of": comparison.kind,
        "group": comparison.group,
        "measure": comparison.measure,
        "photographs": comparison.photographs,
        "patients": comparison.patients,
        "reference_photographs": comparison.reference_photographs,
        "reference_patients": comparison.reference_patients,
        "batch": shown(comparison.batch),
        "reference": shown(comparison.reference),
        "index": comparison.index,
        "effect": comparison.effect,
        "p_value": comparison.p_value,
        "detectable_standard_deviations": None if detectable is None or math.isinf(detectable) else detectable,
        "verdict": comparison.verdict,
    }
