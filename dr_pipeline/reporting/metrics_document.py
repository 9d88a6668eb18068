"""reports/metrics.json: the figures of the report's first page, for programs; docs/reference/metrics.schema.json."""

from collections.abc import Mapping
from typing import Any

from dr_pipeline.reporting.format_figure import LABELS, is_figure
from dr_pipeline.reporting.headline import evidence_limits
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.schema import RESEARCH_USE

VERSION = 1
_SCREENING = ("referable_sensitivity", "referable_specificity", "vision_threatening_sensitivity", "referred")
_TIMES = ("p50_ms", "p95_ms", "p99_ms", "n")


def metrics_document(sources: Sources) -> dict[str, Any]:
    """The document.

    A figure is {"value", "low", "high", "n"}; an undefined one has a null value and a `note`. DVC and MLflow name
    metrics after its keys, so that they show the same.
    """
    test, validation = sources.test, sources.validation[sources.chosen]
    latency = sources.latency[sources.chosen]
    return {
        "schema_version": VERSION,
        "research_use": RESEARCH_USE,
        "bundle_id": sources.bundle["bundle_id"],
        "candidate": sources.chosen,
        "data_set": sources.intake["adapter"],
        "confidence": test["confidence"],
        "intervals": test["intervals"],
        "evidence_limits": evidence_limits(sources),
        "counts": {
            "photographs": sources.audit["photographs"],
            "used": sources.audit["used"],
            "graded": sources.split["photographs"],
            "groups": sources.split["groups"],
            "unknown_patients": sources.split["photographs_of_unknown_patients"],
            "test": test["n"],
            "test_groups": test["groups"],
        },
        "test_openings": test["openings"],
        "test": _both(test) | {"screening": _screening(test["screening"]["intention_to_screen"])},
        "validation": _both(validation),
        "external": {name: _external(report) for name, report in sources.external.items()},
        "latency": {name: latency[name] for name in _TIMES}
        | {"budget_ms": sources.selection["limits"]["latency_budget_ms"], "machine": latency["machine"]},
    }


def _both(report: Mapping[str, Any]) -> dict[str, Any]:
    return {"all": _figures(report), "gradable": _figures(report["gradable"])}


def _external(report: Mapping[str, Any]) -> dict[str, Any]:
    return _both(report["figures"]) | {"screening": _screening(report["intention_to_screen"])}


def _screening(figures: Mapping[str, Any]) -> dict[str, Any]:
    """By intention to screen: a photograph without a grade counts as referred."""
    return {name: _figure(figures[name]) for name in _SCREENING if is_figure(figures.get(name))}


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _figure(report[name]) for name in LABELS if is_figure(report.get(name))}


def _figure(figure: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figure[name] for name in ("value", "low", "high", "n", "note") if name in figure}
