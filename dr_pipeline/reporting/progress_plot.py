"""The plot of an unfinished training, redrawn after each epoch; it opens in any image viewer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dr_pipeline.files import atomic_write
from dr_pipeline.logs import logger
from dr_pipeline.reporting.plot_style import COLOURS, QUIET, blank, png, style
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.history import EpochRow, chosen_epoch


def draw_progress(path: Path, history: Sequence[EpochRow], *, title: str, minutes_left: float | None = None) -> None:
    """Draws the epochs so far into a PNG, which replaces the previous one as a whole.

    A failure is a warning: a picture of the training must not end it.

    Args:
        path: The PNG to write.
        history: The finished epochs, oldest first.
        title: What is trained, such as `lite0-0`.
        minutes_left: Until the training ends, for the heading; None where it is unknown.
    """
    try:
        data = png(progress_figure(history, title=title, minutes_left=minutes_left))
        with atomic_write(path) as stream:
            stream.write(data)
    except Exception as error:  # a font, a cache folder or a disk; each library raises its own types
        logger.warning("%s was not drawn: %s: %s", path, type(error).__name__, error)


def progress_figure(history: Sequence[EpochRow], *, title: str, minutes_left: float | None = None) -> Figure:
    """The same as a matplotlib Figure; raises ValueError where no epoch has finished."""
    if not history:
        raise ValueError("nothing to draw before the first epoch has ended")
    best = chosen_epoch(history)
    with style():
        figure = blank(10, 5.4)
        (losses, qwk), (rate, speed) = figure.subplots(2, 2, sharex=True)
        _line(losses, history, "train_loss", COLOURS[1], "training")
        _line(losses, history, "validation_loss", COLOURS[0], "validation")
        losses.set_title("Loss")
        losses.legend()
        _line(qwk, history, "validation_qwk", COLOURS[0])
        label = f"chosen: {best.validation_qwk:.3f} at epoch {best.epoch + 1}"
        qwk.plot(best.epoch + 1, best.validation_qwk, "o", color=COLOURS[1], markersize=7, label=label)
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
        figure.suptitle(
            _heading(title, history[-1].epoch, minutes_left), x=0.01, ha="left", fontweight="bold", parse_math=False
        )
        figure.supxlabel(RESEARCH_USE, x=0.01, ha="left", fontsize=8, color=QUIET)
    return figure


def _heading(title: str, epoch: int, minutes_left: float | None) -> str:
    done = f"{title}: {epoch + 1} epoch{'s' if epoch else ''} finished"
    if minutes_left is None:
        return done
    return f"{done}, " + ("less than a minute left" if minutes_left < 1 else f"about {minutes_left:.0f} min left")


def _line(panel: Any, rows: Sequence[EpochRow], column: str, colour: str, label: str | None = None) -> None:
    epochs = [row.epoch + 1 for row in rows]
    panel.plot(epochs, [getattr(row, column) for row in rows], ".-", color=colour, label=label)
