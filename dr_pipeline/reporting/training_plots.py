"""The plots of one training's MLflow run: its curves, its layers, and its network's grades on validation."""

from pathlib import Path

from dr_pipeline.evaluation.graded_images import Graded
from dr_pipeline.evaluation.reliability_bins import NUM_BINS, reliability_bins
from dr_pipeline.files import read_json
from dr_pipeline.reporting import plots
from dr_pipeline.reporting.format_figure import format_figure
from dr_pipeline.reporting.layer_plots import layer_strips
from dr_pipeline.reporting.layer_tables import layers_path, read_layers_by_time
from dr_pipeline.reporting.plot_style import png
from dr_pipeline.tables.graded import read_graded
from dr_pipeline.tables.history import read_history


def candidate_plots(name: str, *, training: Path, validation: Path, predictions: Path) -> dict[str, bytes]:
    """Plots of one training by file name, as PNG.

    Args:
        name: Candidate and fold, such as `lite0-0`.
        training: Folder of the histories and of the layers' figures.
        validation: Folder of the validation figures.
        predictions: Parent of the folders that `validate` wrote; only the deployed fold has been validated.
    """
    candidate, fold = split_name(name)
    images = {
        "training.png": png(plots.training_curves({name: read_history(training / f"{name}.csv")})),
        "layers.png": png(layer_strips({name: read_layers_by_time(layers_path(training, name))})),
    }
    decision = predictions / candidate / "decision.json"
    if decision.is_file() and read_json(decision)["fitted_on"]["fold"] == str(fold):
        images |= _validation_plots(candidate, validation / f"{candidate}.json", decision.with_name("predictions.csv"))
    return images


def split_name(name: str) -> tuple[str, int]:
    """Candidate and fold of a name such as `lite0-0`."""
    candidate, _, fold = name.rpartition("-")
    return candidate, int(fold)


def _validation_plots(candidate: str, figures: Path, predictions: Path) -> dict[str, bytes]:
    validation = read_json(figures)["validation"][candidate]
    graded = Graded.of(read_graded(predictions))
    bins = reliability_bins(graded.referable, graded.referable_probability, NUM_BINS)
    qwk = f"{candidate}, validation: QWK {format_figure(validation['qwk'], 2)}"
    return {
        "confusion.png": png(plots.confusion_matrix(validation["confusion"], qwk)),
        "reliability.png": png(plots.reliability(bins, f"{candidate}, validation, n = {len(graded.true)}")),
    }
