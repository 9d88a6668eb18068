"""The report's pictures: right numbers on them, the same bytes each time."""

import hashlib
import re
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.evaluation.reliability_bins import reliability_bins
from dr_pipeline.reporting import plots as pictures
from dr_pipeline.reporting.contact_sheet import contact_sheet
from dr_pipeline.reporting.plot_style import png, svg
from dr_pipeline.reporting.report_plots import report_figures
from tests.factories.reports import history, sources

pytestmark = pytest.mark.slow


def texts(figure: Any) -> set[str]:
    from matplotlib.text import Text

    return {text.get_text() for text in figure.findobj(Text)}


def test_the_same_figures_give_the_same_bytes() -> None:
    def digests() -> dict[str, tuple[str, str]]:
        figures = report_figures(sources())
        return {
            name: (hashlib.sha256(png(figure)).hexdigest(), hashlib.sha256(svg(figure)).hexdigest())
            for name, figure in figures.items()
        }

    first = digests()
    names = "histogram confusion reliability pareto training layers roc rejection workload net_benefit risk_coverage"
    assert set(first) == set(names.split())
    assert digests() == first


def test_pictures_hold_no_date_and_no_version() -> None:
    figure = pictures.training_curves({"lite0-0": history(3, 0.8)})
    assert b"tEXt" not in png(figure)
    assert not re.search(rb"dc:date|Matplotlib v", svg(figure))


def test_confusion_shows_counts_and_row_shares() -> None:
    counts = [[9, 1, 0, 0, 0], [2, 2, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 5, 0], [1, 0, 0, 0, 3]]
    shown = texts(pictures.confusion_matrix(counts, "title"))
    assert {"9\n90%", "2\n50%", "5\n100%", "1\n25%", "–", "title"} <= shown
    assert "2 Moderate NPDR (n = 0)" in shown


def test_training_marks_the_best_epoch_not_the_last() -> None:
    rows = history(4, 0.8)
    rows[1] = replace(rows[1], validation_qwk=0.99)
    panel = pictures.training_curves({"lite0-0": rows}).axes[1]
    dots = [line.get_xydata().tolist() for line in panel.get_lines() if line.get_marker() == "o"]
    assert dots == [[[2.0, 0.99]]]


def test_roc_marks_the_fitted_operating_point() -> None:
    labels = np.array([False, False, False, True, True])
    scores = np.array([0.1, 0.2, 0.7, 0.6, 0.9])
    shown = texts(pictures.roc(labels, scores, 0.5, "t"))
    assert "fitted on validation: sensitivity 1.000, specificity 0.667" in shown


def test_pareto_names_budget_and_choice() -> None:
    from_sources = sources()
    figure = pictures.pareto(from_sources.selection["candidates"], budget_ms=55.0, chosen="lite0")
    shown = texts(figure)
    assert {"lite0 (tf_efficientnet_lite0) – chosen", "b0 (efficientnet_b0)", " budget"} <= shown
    assert figure.axes[0].get_xlim()[1] > 55.0


def test_pareto_leaves_out_what_was_not_measured_on_the_target() -> None:
    first, second = sources().selection["candidates"]
    shown = texts(pictures.pareto([first | {"p95_ms": None}, second], budget_ms=55.0, chosen="b0"))
    assert not any("lite0" in text for text in shown)


def test_a_figure_without_interval_is_drawn_as_a_point() -> None:
    line = dict(sources().selection["candidates"][0]) | {"qwk": {"value": 0.8, "low": None, "high": None, "n": 3}}
    assert png(pictures.pareto([line], budget_ms=55.0, chosen="lite0"))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60), st.integers(1, 12))
def test_reliability_bins_hold_every_photograph_once(rows: list[tuple[bool, float]], num_bins: int) -> None:
    labels = np.array([label for label, _ in rows])
    probabilities = np.array([p for _, p in rows])
    bins = reliability_bins(labels, probabilities, num_bins)
    assert sum(b.n for b in bins) == len(rows)
    assert sum(b.hits for b in bins) == labels.sum()
    assert sum(b.predicted * b.n for b in bins) == pytest.approx(probabilities.sum())
    for b in bins:
        figure = b.as_figure()
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1


def test_the_contact_sheet_has_rows_and_columns() -> None:
    canvases = [np.full((64, 64, 3), (200, 0, 0), dtype=np.uint8)] * 5
    data = contact_sheet(canvases, ["readers 4, bundle 0.3"] * 5, columns=3, side_px=40)
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape == (2 * (40 + 22 + 6) + 6, 3 * 46 + 6, 3)
    assert sheet[26, 26, 2] > 150, "red stays red: canvases are RGB, OpenCV writes BGR"
    assert sheet[26, 26, 0] < 60
