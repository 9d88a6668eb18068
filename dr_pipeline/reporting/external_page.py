"""The page of external validations: several data sets in one table, beside published figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dr_pipeline.evaluation.published_figures import PUBLISHED
from dr_pipeline.reporting.format_figure import LABELS, format_difference, format_figure, is_figure
from dr_pipeline.reporting.pages import environment
from dr_pipeline.schema import RESEARCH_USE


def render_external(reports: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        reports: Of `validate_external`, of one bundle; at least one.
    """
    pages = environment("dr_pipeline.reporting")
    pages.filters |= FILTERS
    return pages.get_template("external.html.j2").render(
        reports=reports,
        bundle_id=reports[0]["bundle_id"],
        internal=reports[0]["internal"],
        published=PUBLISHED,
        figure_rows=figure_rows,
        research_use=RESEARCH_USE,
    )


def figure_rows(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, all photographs and gradable ones of each figure that has a label."""
    return [
        (label, format_figure(figures[name]), format_figure(figures["gradable"][name]))
        for name, label in LABELS.items()
        if is_figure(figures.get(name))
    ]


def subgroup_name(row: Mapping[str, Any]) -> str:
    """Such as `camera dogwood, eye left`."""
    return ", ".join(f"{by} {value}" for by, value in zip(row["by"], row["value"], strict=True))


# What the templates of an external validation, and of the report, write figures with.
FILTERS: dict[str, Callable[..., str]] = {
    "format_figure": format_figure,
    "difference": format_difference,
    "number": lambda figure, digits: "–" if figure["value"] is None else f"{figure['value']:.{digits}f}",
    "percent": lambda figure: "–" if figure["value"] is None else f"{100 * figure['value']:.1f}",
    "subgroup_name": subgroup_name,
}
