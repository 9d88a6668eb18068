"""The files of a comparison of two graders; its page is one self-contained HTML file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dr_pipeline.evaluation.comparison import ENDPOINTS, Verdict
from dr_pipeline.evaluation.comparison_report import Comparison
from dr_pipeline.files import canonical_json, write_text
from dr_pipeline.reporting.format_figure import format_difference, format_figure
from dr_pipeline.reporting.pages import environment
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.changed import ChangedRow, write_changed

MAX_SHOWN = 60  # changed photographs; changed.csv lists all
_TESTS = {"accuracy": "Grade of the readers"}


def write_comparison(out: Path, comparison: Comparison, jpeg: Callable[[str], bytes] | None = None) -> tuple[Path, ...]:
    """Writes comparison.json, changed.csv and index.html, which only their owner reads.

    Args:
        out: Their folder.
        comparison: What they show.
        jpeg: Gives a photograph's thumbnail by its image id; None: no pictures.
    """
    result, table, page = (out / name for name in ("comparison.json", "changed.csv", "index.html"))
    shown = comparison.changed[:MAX_SHOWN]
    jpegs = {row.image_id: jpeg(row.image_id) for row in shown} if jpeg else None
    write_text(result, canonical_json(comparison.report), private=True)
    write_changed(table, comparison.changed, private=True)
    write_text(page, render_comparison(comparison.report, comparison.changed, jpegs), private=True)
    return result, table, page


def render_comparison(
    report: Mapping[str, Any], changed: Sequence[ChangedRow], jpegs: Mapping[str, bytes] | None = None
) -> str:
    """The page.

    Args:
        report: Of `compare_graders`, with `old`, `new` and `warnings`.
        changed: All changed photographs.
        jpegs: Thumbnails by image id; none: no pictures.
    """
    pages = environment("dr_pipeline.reporting")
    pages.filters |= {"format_figure": format_figure, "difference": format_difference, "p_value": p_value}
    shown = changed[:MAX_SHOWN]
    return pages.get_template("comparison.html.j2").render(
        r=report,
        passed=report["verdict"] in (Verdict.IDENTICAL, Verdict.NOT_INFERIOR),
        not_shown=not_shown(report),
        endpoints=[(endpoint.label, report["endpoints"][name]) for name, endpoint in ENDPOINTS.items()],
        tests=[(_label(name), test) for name, test in report["mcnemar"].items()],
        shown=shown,
        pictures=[(row, jpegs[row.image_id]) for row in shown if jpegs and jpegs.get(row.image_id)],
        research_use=RESEARCH_USE,
    )


def not_shown(report: Mapping[str, Any]) -> list[str]:
    """The labels of the endpoints that these photographs show nothing of."""
    return [
        endpoint.label for name, endpoint in ENDPOINTS.items() if report["endpoints"][name]["verdict"] == "not shown"
    ]


def p_value(value: float | None) -> str:
    """Three decimals, or that it is smaller; a dash where it is undefined."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _label(name: str) -> str:
    return _TESTS.get(name) or ENDPOINTS[name].label
