"""Plots of screening and uncertainty from reports/test.json: workload, net benefit, risk and coverage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dr_pipeline.reporting.plot_style import COLOURS, QUIET, blank, style

MEASURES = {
    "closeness_to_cut": "distance to a cut point",
    "closeness_to_referral": "distance to the threshold of referral",
    "entropy": "entropy",
    "spread_of_views": "spread of two views",
}


def workload(curve: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Sensitivity for referable disease against the fraction of photographs that a human reader sees.

    Args:
        curve: `screening.workload` of reports/test.json.
        title: With n.
    """
    points = [point for point in curve if point["sensitivity"]["value"] is not None]
    with style():
        figure = blank(5.0, 4.2)
        panel = figure.subplots()
        panel.plot([0, 1], [0, 1], "--", color=QUIET, linewidth=1, label="photographs in any order")
        _band(
            panel, [p["referred"] for p in points], [p["sensitivity"] for p in points], COLOURS[0], "most urgent first"
        )
        panel.set(title=title, xlabel="share seen by a human reader", ylabel="share of the disease among them")
        panel.set(xlim=(0, 1.02), ylim=(0, 1.03))
        panel.legend(loc="lower right")
    return figure


def net_benefit(curve: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Net benefit of referring by the bundle, everybody, and nobody, by threshold probability.

    Args:
        curve: `screening.net_benefit` of reports/test.json.
        title: With n.
    """
    points = [point for point in curve if point["model"]["value"] is not None]
    thresholds = [point["threshold"] for point in points]
    with style():
        figure = blank(5.0, 4.2)
        panel = figure.subplots()
        _band(panel, thresholds, [point["model"] for point in points], COLOURS[0], "this bundle")
        panel.plot(
            thresholds, [point["refer_all"] for point in points], "--", color=COLOURS[1], label="refer everybody"
        )
        panel.axhline(0, color=QUIET, linewidth=1, label="refer nobody")
        panel.set(title=title, xlabel="threshold probability", ylabel="net benefit", ylim=(-0.1, None))
        panel.legend(loc="lower left")
    return figure


def risk_coverage(figures: Mapping[str, Any], title: str) -> Figure:
    """Fraction of wrong grades among the most certain photographs, a colour per measure of uncertainty.

    Args:
        figures: `uncertainty.wrong_grade` of reports/test.json.
        title: With n.
    """
    with style():
        figure = blank(5.0, 4.2)
        panel = figure.subplots()
        for index, (name, label) in enumerate(MEASURES.items()):
            curve = figures.get(name, {}).get("curve", [])
            if curve:
                coverages = [point["coverage"] for point in curve]
                _band(panel, coverages, [point["risk"] for point in curve], COLOURS[index], label)
        panel.set(title=title, xlabel="share graded alone, the most certain first", ylabel="share of wrong grades")
        panel.set_ylim(bottom=0)
        panel.legend(loc="upper left")
    return figure


def _band(panel: Any, xs: Sequence[float], figures: Sequence[Mapping[str, Any]], colour: str, label: str) -> None:
    """A line with its interval; where there is none, the line alone."""
    values = np.array([figure["value"] for figure in figures], dtype=np.float64)
    low, high = (
        np.array([value if figure[end] is None else figure[end] for figure, value in zip(figures, values, strict=True)])
        for end in ("low", "high")
    )
    panel.plot(xs, values, color=colour, label=label)
    panel.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
