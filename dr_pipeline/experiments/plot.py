"""The plot of an experiment: QWK by arm with its interval and its folds, and the speed of each arm."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from dr_pipeline.reporting.plot_style import COLOURS, QUIET, blank, style
from dr_pipeline.schema import RESEARCH_USE

_ROW_IN = 0.42
_FRAME_IN = 1.5


def plot_experiment(report: Mapping[str, Any]) -> Figure:
    """QWK on the left where an arm was trained, photographs per second on the right; one line per arm, in order.

    Args:
        report: The report of `summary.summarise`.
    """
    arms: Sequence[Mapping[str, Any]] = report["arms"]
    with style():
        figure = blank(10.0, _FRAME_IN + _ROW_IN * max(len(arms), 2))
        if any(arm["trained"] for arm in arms):
            left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
            _agreement(left, arms, f"{report['confidence']:.0%}")
        else:
            left = right = figure.subplots()
        _speed(right, arms)
        left.set_yticks(range(len(arms)), [arm["arm"].replace("_", " ") for arm in arms])
        left.set_ylim(len(arms) - 0.4, -0.6)
        figure.supxlabel(_footnote(report), fontsize=8, color=QUIET)
    return figure


def _agreement(panel: Any, arms: Sequence[Mapping[str, Any]], confidence: str) -> None:
    for line, arm in enumerate(arms):
        if not arm["trained"]:
            panel.text(0.02, line, "timed only", transform=panel.get_yaxis_transform(), va="center", color=QUIET)
            continue
        folds = [one["qwk"] for one in arm["by_fold"] if one["qwk"] is not None]
        panel.plot(folds, [line + 0.22] * len(folds), "|", color=QUIET, markersize=7)
        for site in arm.get("by_site", ()):
            if site["qwk"]["value"] is not None:
                at = (site["qwk"]["value"], line + 0.3)
                panel.annotate(site["site"], at, ha="center", va="top", rotation=30, fontsize=7, color=QUIET)
        qwk = arm["figures"]["qwk"]
        if qwk["value"] is None:
            panel.text(0.02, line, "undefined", transform=panel.get_yaxis_transform(), va="center", color=QUIET)
            continue
        low, high = (qwk["value"] if qwk[end] is None else qwk[end] for end in ("low", "high"))
        panel.plot([low, high], [line, line], "-", color=COLOURS[0])
        panel.plot(qwk["value"], line, "o", color=COLOURS[0], markersize=7)
        panel.annotate(
            f"{qwk['value']:.3f}", (qwk["value"], line), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    panel.set(
        title="QWK, outer folds pooled", xlabel=f"dot and line: pooled, {confidence} interval; ticks: single folds"
    )
    panel.grid(visible=False, axis="y")


def _speed(panel: Any, arms: Sequence[Mapping[str, Any]]) -> None:
    for line, arm in enumerate(arms):
        for place, name, colour in ((-0.18, "training", COLOURS[1]), (0.18, "inference", COLOURS[4])):
            speed = arm["throughput"][f"{name}_images_per_s"]
            panel.barh(line + place, speed, height=0.32, color=colour, label=name if line == 0 else None)
            panel.annotate(
                _speed_text(speed), (speed, line + place), (3, 0), textcoords="offset points", va="center", fontsize=7.5
            )
    panel.margins(x=0.18)
    panel.set(title="Photographs/s", xlabel=arms[0]["throughput"]["device"])
    panel.grid(visible=False, axis="y")
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8)  # above, where no bar is


def _speed_text(speed: float) -> str:
    return f"{speed:.0f}" if speed >= 100 else f"{speed:.3g}"


def _footnote(report: Mapping[str, Any]) -> str:
    data = report["data"]
    if data is None:
        return RESEARCH_USE
    known = "patients unknown" if data["patients"].startswith("unknown") else f"{data['patients']} patients"
    return (
        f"{data['photographs']} photographs, {known}; {report['folds']} outer folds, "
        f"{report['configurations_tried']} configuration(s) tried. {RESEARCH_USE}"
    )
