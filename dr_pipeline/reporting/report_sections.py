"""The sections of reports/index.html, in order. To add one: a template or a function, and one entry in SECTIONS."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from dr_pipeline.reporting.report_inputs import Sources


@dataclass(frozen=True)
class Section:
    """One section of the report; give a template or a function.

    Attributes:
        anchor: The `id` of its heading.
        title: Its name in the navigation.
        template: A file of reporting/templates, which sees the variables of the page (`s` are the sources).
        html: Returns the section as HTML, its text escaped.
    """

    anchor: str
    title: str
    template: str = ""
    html: Callable[[Sources], Markup] | None = None


SECTIONS: list[Section] = [
    Section("figures", "Figures", "report/figures.html.j2"),
    Section("screening", "Screening", "report/screening.html.j2"),
    Section("uncertainty", "Uncertainty", "report/uncertainty.html.j2"),
    Section("subgroups", "Subgroups", "report/test_subgroups.html.j2"),
    Section("external", "External validation", "report/external.html.j2"),
    Section("data", "Data", "report/data.html.j2"),
    Section("candidates", "Candidates", "report/candidates.html.j2"),
    Section("layers", "Layers", "report/layers.html.j2"),
    Section("errors", "Errors", "report/errors.html.j2"),
    Section("gradability", "Gradability", "report/gradability.html.j2"),
    Section("latency", "Latency", "report/latency.html.j2"),
    Section("baselines", "Baselines", "report/baselines.html.j2"),
    Section("provenance", "Provenance", "report/provenance.html.j2"),
]
