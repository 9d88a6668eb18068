"""The picture of a shift suite: a small panel per family, the figures against the strength of the shift."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import ceil
from typing import Any

from matplotlib.figure import Figure

from dr_pipeline.reporting.plot_style import COLOURS, QUIET, blank, style
from dr_pipeline.schema import RESEARCH_USE

_COLUMNS = 6
_PANEL_IN = 1.75
_LINES = {
    "qwk": ("QWK", COLOURS[0], "-"),
    "auc_expected_grade": ("referable AUC", COLOURS[1], "-"),
    "referable_sensitivity": ("sensitivity, ungradable referred", COLOURS[2], "--"),
    "referable_specificity": ("specificity", COLOURS[3], ":"),
}


def plot_shifts(report: Mapping[str, Any]) -> Figure:
    """Figures of all photographs with an answer, bands: their intervals; bars: the fraction that gets no grade.

    Args:
        report: The report of `dr_pipeline.evaluation.shift_figures.shift_report`.
    """
    families = [list(shifts) for _, shifts in groupby(report["shifts"], key=lambda shift: shift["family"])]
    clean = report["clean"] | {"strength": 0.0, "level": "clean"}
    rows = ceil(len(families) / _COLUMNS)
    with style():
        figure = blank(_COLUMNS * _PANEL_IN, rows * _PANEL_IN + 0.9)
        panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, shifts in zip(panels, families, strict=False):
            _panel(panel, [clean, *shifts])
        for panel in panels[len(families) :]:
            panel.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
        confidence = report["resampling"]["confidence"]
        figure.supxlabel(
            f"strength of the shift; n = {report['n']} photographs, {confidence:.0%} intervals. {RESEARCH_USE}",
            fontsize=8,
            color=QUIET,
        )
    return figure


def _panel(panel: Any, shifts: Sequence[Mapping[str, Any]]) -> None:
    strengths = [shift["strength"] for shift in shifts]
    rejected = [shift["rejected"]["value"] for shift in shifts]
    panel.bar(strengths, rejected, width=0.12, color="#BBBBBB", label="rejected")
    for name, (label, colour, dashes) in _LINES.items():
        figures = [shift["all"][name] for shift in shifts]
        panel.plot(strengths, _column(figures, "value"), dashes, color=colour, marker=".", label=label)
        panel.fill_between(
            strengths, _column(figures, "low"), _column(figures, "high"), color=colour, alpha=0.12, linewidth=0
        )
    most = shifts[-1].get("amount", "")
    panel.set_title(shifts[-1]["family"].replace("_", " ") + (f"\n1: {most}" if most else ""), fontsize=7)
    panel.set(ylim=(0, 1.03), xlim=(-0.1, 1.1))
    panel.set_xticks([0, 0.5, 1], ["0", "½", "1"])


def _column(figures: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """What is undefined is a gap."""
    return [float("nan") if figure[key] is None else figure[key] for figure in figures]
