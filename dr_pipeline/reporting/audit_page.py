"""data/audit.html: every kind of finding with its photographs, as one self-contained file."""

from collections.abc import Callable, Mapping
from typing import Any

from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.run_audit import AuditResult
from dr_pipeline.folder_rules import describe_counts
from dr_pipeline.reporting.audit_items import MAX_FINDINGS, sections
from dr_pipeline.reporting.pages import environment
from dr_pipeline.schema import GRADE_NAMES, GRADES, RESEARCH_USE


def render(
    report: Mapping[str, Any], result: AuditResult, inputs: AuditInputs, jpeg: Callable[[str], bytes], *, adapter: str
) -> str:
    """The page as HTML; text from file names and tables is escaped.

    Args:
        report: From `audit_report`.
        result: The result of the audit.
        inputs: Its tables.
        jpeg: Returns a photograph's thumbnail; no bytes where there is none.
        adapter: The data set's adapter, for the headline.
    """
    pages = environment("dr_pipeline.reporting")
    pages.filters |= {"percent": percent, "figure": figure, "kinds": describe_counts}
    page = pages.get_template("audit.html.j2")
    return page.render(
        r=report,
        sections=sections(result.findings, inputs, jpeg),
        max_findings=MAX_FINDINGS,
        adapter=adapter,
        grades=[(str(grade), GRADE_NAMES[grade]) for grade in GRADES],
        research_use=RESEARCH_USE,
    )


def percent(rate: Mapping[str, Any]) -> str:
    """A proportion with its interval, such as `4.2 % [1.6–10.4]`; a dash where there is no photograph."""
    if not rate["n"]:
        return "–"
    text = f"{100 * rate['share']:.1f} %"
    return text if rate["low"] is None else f"{text} [{100 * rate['low']:.1f}–{100 * rate['high']:.1f}]"


def figure(estimate: Mapping[str, Any]) -> str:
    """An area with its interval, or why there is none."""
    if estimate["value"] is None:
        return str(estimate["note"])
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}–{estimate['high']:.3f}]"
