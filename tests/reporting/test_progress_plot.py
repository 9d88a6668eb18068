"""The plot of an unfinished training: its figures, and files that are replaced as a whole."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dr_pipeline.logs import logger
from dr_pipeline.reporting.progress_plot import draw_progress, progress_figure
from dr_pipeline.tables.history import EpochRow
from tests.factories.reports import history


def rows(epochs: int) -> list[EpochRow]:
    return history(epochs, 0.8)


def texts(figure: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_a_png_is_written_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "progress.png"
    draw_progress(path, rows(1), title="lite0-0")
    first = path.read_bytes()
    draw_progress(path, rows(5), title="lite0-0")
    assert path.read_bytes() != first
    assert list(path.parent.iterdir()) == [path]
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] == 1200


def test_the_chosen_epoch_is_marked_and_of_equal_ones_the_last() -> None:
    qwks = (0.1, 0.7, 0.3, 0.7)
    epochs = [replace(row, validation_qwk=qwk) for row, qwk in zip(rows(4), qwks, strict=True)]
    figure = progress_figure(epochs, title="lite0-0")
    assert "chosen: 0.700 at epoch 4" in texts(figure)
    marked = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marked] == [(4.0, 0.7)]


def test_each_panel_draws_its_column() -> None:
    epochs = rows(3)
    figure = progress_figure(epochs, title="lite0-0")
    drawn = [[list(line.get_ydata()) for line in panel.lines if len(line.get_ydata()) == 3] for panel in figure.axes]
    columns = (("train_loss", "validation_loss"), ("validation_qwk",), ("learning_rate",), ("images_per_s",))
    assert drawn == [[[getattr(row, column) for row in epochs] for column in panel] for panel in columns]


@pytest.mark.parametrize(
    ("minutes", "words"), [(12.4, "about 12 min left"), (0.3, "less than a minute left"), (None, "2 epochs finished")]
)
def test_the_heading_has_the_minutes_left_where_they_are_known(minutes: float | None, words: str) -> None:
    shown = texts(progress_figure(rows(2), title="lite0-0", minutes_left=minutes))
    assert words in shown
    assert ("left" in shown) == (minutes is not None)
    assert "Research use only. Not a medical device." in shown


def test_a_title_of_dollar_signs_is_text(tmp_path: Path) -> None:
    draw_progress(tmp_path / "p.png", rows(1), title=r"$\frac{1$ <b>")


def test_nothing_to_draw_is_refused_and_leaves_the_old_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "propagate", True)  # which the command line turns off
    path = tmp_path / "p.png"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="first epoch"):
        progress_figure([], title="lite0-0")
    with caplog.at_level(logging.WARNING):
        draw_progress(path, [], title="lite0-0")
    assert path.read_bytes() == b"old"
    assert "was not drawn: ValueError" in caplog.text


def test_a_plot_that_cannot_be_written_ends_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "propagate", True)
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        draw_progress(tmp_path / "file" / "progress.png", rows(1), title="lite0-0")
    assert "progress.png was not drawn" in caplog.text
