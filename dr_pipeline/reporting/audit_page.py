"""data/audit.html: every kind of finding with its photographs, in one file that needs nothing else."""

from collections.abc import Callable, Mapping
from typing import Any

from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.audit.report import Audited
from dr_pipeline.reporting.audit_items import MAX_FINDINGS, sections
from dr_pipeline.reporting.pages import environment
from dr_pipeline.schema import GRADE_NAMES, GRADES, RESEARCH_USE


def render(
    report: Mapping[str, Any], audited: Audited, evidence: Evidence, jpeg: Callable[[str], bytes], *, adapter: str
) -> str:
    """The page as HTML; all that comes from file names and tables is escaped.

    Args:
        report: From `audit_report`.
        audited: What was found.
        evidence: What was looked at.
        jpeg: Gives a photograph's thumbnail; no bytes where there is none.
        adapter: How the data set was read, for the headline.
    """
    pages = environment("dr_pipeline.reporting")
    pages.filters |= {"percent": percent, "figure": figure}
    page = pages.get_template("audit.html.j2")
    return page.render(
        r=report,
        sections=sections(audited.findings, evidence, jpeg),
        max_findings=MAX_FINDINGS,
        adapter=adapter,
        grades=[(str(grade), GRADE_NAMES[grade]) for grade in GRADES],
        research_use=RESEARCH_USE,
    )


def percent(row: Mapping[str, Any]) -> str:
    """A share with its interval, such as `4.2 % [1.6–10.4]`; a dash where there is no photograph."""
    if not row["n"]:
        return "–"
    text = f"{100 * row['share']:.1f} %"
    return text if row["low"] is None else f"{text} [{100 * row['low']:.1f}–{100 * row['high']:.1f}]"


def figure(estimate: Mapping[str, Any]) -> str:
    """An area with its interval, or why there is none."""
    if estimate["value"] is None:
        return str(estimate["note"])
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}–{estimate['high']:.3f}]"
