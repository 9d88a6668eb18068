"""The picture of a training that is still running, drawn anew after each epoch; it opens in any image viewer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dr_pipeline.files import atomic_write
from dr_pipeline.reporting.plot_style import COLOURS, QUIET, blank, png, style
from dr_pipeline.schema import RESEARCH_USE

_MINUTES_LEFT = "minutes_left"


def draw_progress(path: Path, history: Sequence[Mapping[str, float]], *, title: str) -> None:
    """Draws the epochs so far into a PNG that replaces the one before as a whole.

    Args:
        path: The PNG to write.
        history: One row for each finished epoch, oldest first: `epoch` from 0, `train_loss`, `validation_loss`,
            `validation_qwk`, `learning_rate`, `images_per_s`. The last row's `minutes_left`, where it has one, is
            told in the heading.
        title: What is trained, such as `lite0-0`.

    Raises:
        ValueError: No epoch is finished.
    """
    with atomic_write(path) as stream:
        stream.write(png(progress_figure(history, title=title)))


def progress_figure(history: Sequence[Mapping[str, float]], *, title: str) -> Figure:
    """The same as a matplotlib Figure."""
    if not history:
        raise ValueError("nothing to draw before the first epoch has ended")
    best = max(history, key=lambda row: (row["validation_qwk"], row["epoch"]))  # of equal ones, training keeps the last
    last = history[-1]
    with style():
        figure = blank(10, 5.4)
        (losses, qwk), (rate, speed) = figure.subplots(2, 2, sharex=True)
        _line(losses, history, "train_loss", COLOURS[1], "training")
        _line(losses, history, "validation_loss", COLOURS[0], "validation")
        losses.set_title("Loss")
        losses.legend()
        _line(qwk, history, "validation_qwk", COLOURS[0])
        label = f"best: {best['validation_qwk']:.3f} at epoch {best['epoch'] + 1:.0f}"
        qwk.plot(best["epoch"] + 1, best["validation_qwk"], "o", color=COLOURS[1], markersize=7, label=label)
        qwk.set_title("Validation QWK")
        qwk.set_ylim(top=1.0)
        qwk.legend(loc="lower right")
        _line(rate, history, "learning_rate", COLOURS[2])
        rate.set(title="Learning rate", xlabel="epoch")
        rate.set_ylim(bottom=0.0)
        _line(speed, history, "images_per_s", COLOURS[3])
        speed.set(title="Photographs per second", xlabel="epoch")
        speed.set_ylim(bottom=0.0)
        speed.xaxis.get_major_locator().set_params(integer=True)
        # Text from outside must not be read as a formula between dollar signs.
        figure.suptitle(_heading(title, last), x=0.01, ha="left", fontweight="bold", parse_math=False)
        figure.supxlabel(RESEARCH_USE, x=0.01, ha="left", fontsize=8, color=QUIET)
    return figure


def _heading(title: str, last: Mapping[str, float]) -> str:
    done = f"{title}: {last['epoch'] + 1:.0f} epoch{'s' if last['epoch'] else ''} finished"
    if _MINUTES_LEFT not in last:
        return done
    minutes = last[_MINUTES_LEFT]
    return f"{done}, " + ("less than a minute left" if minutes < 1 else f"about {minutes:.0f} min left")


def _line(panel: Any, rows: Sequence[Mapping[str, float]], column: str, colour: str, label: str | None = None) -> None:
    epochs = [row["epoch"] + 1 for row in rows]
    panel.plot(epochs, [row[column] for row in rows], ".-", color=colour, label=label)
