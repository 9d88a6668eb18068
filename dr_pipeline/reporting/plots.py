"""The report's plots as matplotlib Figures; `plot_style` encodes them as PNG or SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dr_pipeline.evaluation.reliability_bins import RateBin
from dr_pipeline.metrics.curves import roc_curve
from dr_pipeline.reporting.plot_style import COLOURS, QUIET, blank, style
from dr_pipeline.schema import GRADE_NAMES, GRADES
from dr_pipeline.tables.history import EpochRow, chosen_epoch

_MARKS = "osD^vP"
_CURVES = (
    ("Loss", (("train_loss", "--"), ("validation_loss", "-"))),
    ("Validation QWK", (("validation_qwk", "-"),)),
    ("Learning rate", (("learning_rate", "-"),)),
)


def training_curves(histories: Mapping[str, Sequence[EpochRow]]) -> Figure:
    """Losses, QWK and learning rate over the epochs, a colour per training; the best epoch is marked.

    Args:
        histories: Each training's epochs by its name.
    """
    with style():
        figure = blank(10, 3.1)
        panels = figure.subplots(1, 3)
        for panel, (title, columns) in zip(panels, _CURVES, strict=True):
            for index, (name, rows) in enumerate(histories.items()):
                colour = COLOURS[index % len(COLOURS)]
                epochs = [row.epoch + 1 for row in rows]
                for column, dashes in columns:
                    label = name if column == columns[-1][0] else None
                    panel.plot(epochs, [getattr(row, column) for row in rows], dashes, color=colour, label=label)
                if title == "Validation QWK":
                    best = chosen_epoch(rows)
                    panel.plot(best.epoch + 1, best.validation_qwk, "o", color=colour, markersize=6)
            panel.set(title=title, xlabel="epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
        panels[0].plot([], [], "--", color=QUIET, label="dashed: training")
        panels[0].legend()
        panels[1].set_ylim(top=1.0)
        panels[2].set_ylim(bottom=0.0)
    return figure


def confusion_matrix(counts: Sequence[Sequence[int]], title: str) -> Figure:
    """Counts and row fractions of true grade (rows) against predicted grade (columns)."""
    table = np.asarray(counts, dtype=np.int64)
    totals = table.sum(axis=1, keepdims=True)
    fractions = table / np.maximum(totals, 1)
    with style():
        figure = blank(5.8, 4.8)
        panel = figure.subplots()
        panel.imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        panel.grid(visible=False)
        for row, column in np.ndindex(table.shape):
            text = f"{table[row, column]}\n{fractions[row, column]:.0%}" if totals[row, 0] else "–"
            panel.text(
                column, row, text, ha="center", va="center", color="white" if fractions[row, column] > 0.55 else "black"
            )
        panel.set_xticks(
            GRADES, [f"{grade}\n{GRADE_NAMES[grade].removesuffix(' NPDR')}" for grade in GRADES], fontsize=8
        )
        labels = [f"{grade} {GRADE_NAMES[grade]} (n = {totals[grade, 0]})" for grade in GRADES]
        panel.set_yticks(GRADES, labels, fontsize=8)
        panel.set(xlabel="grade by the model", ylabel="grade by the readers", title=title)
        # Severe or proliferative disease called none or mild: the misses that harm.
        panel.add_patch(_frame(-0.5, 2.5, 2, 2))
    return figure


def _frame(x: float, y: float, width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fill=False, edgecolor=COLOURS[1], linewidth=2)


def reliability(bins: Sequence[RateBin], title: str) -> Figure:
    """Observed proportion of referable eyes against predicted probability, with 95 % Wilson intervals and counts."""
    with style():
        figure = blank(5.0, 4.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        upper.plot([0, 1], [0, 1], "--", color=QUIET, linewidth=1, label="perfectly calibrated")
        _bars(upper, [b.predicted for b in bins], [b.as_figure() for b in bins], COLOURS[0], "observed, 95 % CI")
        upper.set(title=title, ylabel="observed share, grade ≥ 2", ylim=(-0.03, 1.03), xlim=(-0.02, 1.02))
        upper.legend(loc="upper left")
        lower.bar([b.predicted for b in bins], [b.n for b in bins], width=0.03, color=COLOURS[0])
        lower.set(xlabel="predicted probability of grade ≥ 2", ylabel="n")
    return figure


def roc(labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float, title: str) -> Figure:
    """The ROC curve of referable disease, with the operating point fitted on validation.

    Args:
        labels: Whether each photograph's true grade is 2 or more, shape (N,).
        scores: Probability of it by the model, shape (N,).
        threshold: The operating point.
        title: With n and the area's interval.

    Raises:
        ValueError: Only one class occurs.
    """
    points = roc_curve(scores, labels)
    called = scores >= threshold
    false_alarms, sensitivity = called[~labels].mean(), called[labels].mean()
    with style():
        figure = blank(5.0, 4.6)
        panel = figure.subplots()
        panel.plot([0, 1], [0, 1], "--", color=QUIET, linewidth=1)
        panel.plot(points[:, 0], points[:, 1], color=COLOURS[0])
        label = f"fitted on validation: sensitivity {sensitivity:.3f}, specificity {1 - false_alarms:.3f}"
        panel.plot(false_alarms, sensitivity, "o", color=COLOURS[1], markersize=8, label=label)
        panel.set(title=title, xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panel.legend(loc="lower right", fontsize=8)
    return figure


def pareto(candidates: Sequence[Mapping[str, Any]], *, budget_ms: float, chosen: str) -> Figure:
    """Latency against validation QWK with its interval, the budget, and the chosen candidate.

    Args:
        candidates: The table of reports/selection.json; one that was not measured on the target is left out.
        budget_ms: The largest 95th percentile of a deployable candidate.
        chosen: Name of the selected candidate.
    """
    with style():
        figure = blank(9.0, 3.8)
        panel = figure.subplots()
        measured = [line for line in candidates if line["p95_ms"] is not None]
        for index, line in enumerate(measured):
            picked = line["candidate"] == chosen
            name = f"{line['candidate']} ({line['model']})" + (" – chosen" if picked else "")
            mark = _MARKS[index % len(_MARKS)]
            colour = COLOURS[index % len(COLOURS)]
            _bars(panel, [line["p95_ms"]], [line["qwk"]], colour, name, fmt=mark, size=11 if picked else 6)
        panel.axvline(budget_ms, color=COLOURS[1], linestyle="--", linewidth=1.2)
        panel.text(budget_ms, 0.02, " budget", color=COLOURS[1], transform=panel.get_xaxis_transform())
        slowest = max(budget_ms, *(line["p95_ms"] for line in measured))
        n, threads = measured[0]["qwk"]["n"], measured[0]["threads"]
        panel.set(
            title=f"Candidates: validation QWK (n = {n}, 95 % CI) and speed",
            xlabel=f"latency from file to grade, 95th percentile, ms (batch 1, {threads} thread(s))",
            ylabel="validation QWK",
            xlim=(0, slowest * 1.25),
        )
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def grade_histogram(parts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Photographs by grade, a bar per part of the split.

    Args:
        parts: Counts by grade ("0" … "4") of each part.
    """
    width = 0.8 / max(len(parts), 1)
    with style():
        figure = blank(9.0, 3.0)
        panel = figure.subplots()
        for index, (name, counts) in enumerate(parts.items()):
            heights = [counts[str(grade)] for grade in GRADES]
            places = np.array(GRADES) + (index - (len(parts) - 1) / 2) * width
            bars = panel.bar(places, heights, width, color=COLOURS[index], label=f"{name} (n = {sum(heights)})")
            panel.bar_label(bars, fontsize=7.5, color="#444444")
        panel.set_xticks(GRADES, [f"{grade} {GRADE_NAMES[grade]}" for grade in GRADES], fontsize=8.5)
        panel.set(title="Graded photographs by part", ylabel="photographs")
        panel.grid(visible=False, axis="x")
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def rejection(gradability: Mapping[str, Any]) -> Figure:
    """The rejection rate of each grade, with its interval, a colour per part.

    Args:
        gradability: The figures of reports/gradability.json.
    """
    parts = [name for name in ("development", "test") if name in gradability]
    with style():
        figure = blank(9.0, 3.0)
        panel = figure.subplots()
        for index, name in enumerate(parts):
            rates = {grade: gradability[name]["by_grade"][str(grade)] for grade in GRADES}
            known = {grade: rate for grade, rate in rates.items() if rate["value"] is not None}
            places = [grade + (index - (len(parts) - 1) / 2) * 0.2 for grade in known]
            label = f"{name} (n = {gradability[name]['all']['n']})"
            _bars(panel, places, [*known.values()], COLOURS[index], label)
        panel.set_xticks(GRADES, [f"{grade} {GRADE_NAMES[grade]}" for grade in GRADES], fontsize=8.5)
        panel.set(title="Rejected as ungradable, by grade", ylabel="share of photographs")
        panel.set_ylim(bottom=-0.01)
        panel.grid(visible=False, axis="x")
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _bars(
    panel: Any,
    xs: Sequence[float],
    figures: Sequence[Mapping[str, Any]],
    colour: str,
    label: str,
    *,
    fmt: str = "o",
    size: int = 6,
) -> None:
    """Points with their intervals; a figure without an interval (too few groups) is a point without bars."""
    values = np.array([figure["value"] for figure in figures])
    low = np.array([value if f["low"] is None else f["low"] for f, value in zip(figures, values, strict=True)])
    high = np.array([value if f["high"] is None else f["high"] for f, value in zip(figures, values, strict=True)])
    reach = np.stack([values - low, high - values]).clip(min=0)
    panel.errorbar(xs, values, reach, fmt=fmt, color=colour, capsize=3, markersize=size, label=label)
