"""The plots of the report, from its sources."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

from matplotlib.figure import Figure

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.evaluation.reliability_bins import NUM_BINS, reliability_bins
from dr_pipeline.reporting import evaluation_plots, plots
from dr_pipeline.reporting.contact_sheet import contact_sheet
from dr_pipeline.reporting.format_figure import format_figure
from dr_pipeline.reporting.layer_plots import layer_strips
from dr_pipeline.reporting.plot_style import svg
from dr_pipeline.reporting.report_inputs import Sources

_NUM_MISSES = 12
_TITLE_LETTERS = 46  # in one line of a square plot's title
_MISSES_PER_ROW = 6
_MISS_PX = 160


def report_figures(sources: Sources) -> dict[str, Figure]:
    """The plots by name; `roc` is left out where the test split has one class only."""
    graded, test = sources.graded, sources.test
    bins = reliability_bins(graded.referable, graded.referable_probability, NUM_BINS)
    figures = {
        "histogram": plots.grade_histogram(sources.grades_by_role()),
        "rejection": plots.rejection(sources.gradability),
        "confusion": plots.confusion_matrix(
            test["confusion"], fill(f"Test QWK {format_figure(test['qwk'], 2)}", _TITLE_LETTERS)
        ),
        "reliability": plots.reliability(bins, f"Calibration, test, n = {len(graded.true)}"),
        "pareto": plots.pareto(
            sources.selection["candidates"],
            budget_ms=sources.selection["limits"]["latency_budget_ms"],
            chosen=sources.chosen,
        ),
        "training": plots.training_curves(sources.histories),
        "layers": layer_strips(sources.layers),
        "workload": evaluation_plots.workload(test["screening"]["workload"], f"Workload, test, n = {test['n']}"),
        "net_benefit": evaluation_plots.net_benefit(
            test["screening"]["net_benefit"], f"Decision curve, n = {test['n']}"
        ),
        "risk_coverage": evaluation_plots.risk_coverage(
            test["uncertainty"]["wrong_grade"], f"Risk and coverage, test, n = {test['n']}"
        ),
    }
    if graded.referable.any() and not graded.referable.all():
        title = fill(f"Test ROC area {format_figure(test['referable_auc'], 2)}", _TITLE_LETTERS)
        figures["roc"] = plots.roc(graded.referable, graded.referable_probability, sources.referable_threshold, title)
    return figures


def report_images(sources: Sources, figures: Mapping[str, Figure], canvases: Path) -> dict[str, bytes]:
    """The images of the page: the plots as SVG and, if the data set is synthetic, the largest misses as JPEG.

    Args:
        sources: The documents that the report shows.
        figures: The plots by name.
        canvases: Folder of the canvases, read only for synthetic photographs.
    """
    images = {name: svg(figure) for name, figure in figures.items()}
    if sources.is_synthetic:  # the report is passed on, and a patient's photograph must not be
        images["misses"] = largest_misses(sources, CanvasStore(canvases))
    return images


def largest_misses(sources: Sources, store: CanvasStore) -> bytes:
    """The test photographs whose expected grade is farthest from the readers', as one JPEG."""
    graded = sources.graded
    rows = graded.largest_misses(_NUM_MISSES)
    captions = [f"readers {graded.true[row]}, bundle {graded.expected[row]:.1f}" for row in rows]
    canvases = [store.read(graded.image_ids[row]) for row in rows]
    return contact_sheet(canvases, captions, columns=_MISSES_PER_ROW, side_px=_MISS_PX)
