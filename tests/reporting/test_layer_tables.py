"""The layers' figures: read as written, summed rightly, refused where they cannot be, drawn in their order."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.files import write_csv
from dr_pipeline.reporting.layer_plots import layer_strips
from dr_pipeline.reporting.layer_tables import Layer, layers_path, read_layers, summaries
from dr_pipeline.reporting.plot_style import png
from tests.factories.reports import history, layers

COLUMNS = ("layer", "kind", "when", "channels", "dead_channels", "mean", "std", "shift")


def row(**more: Any) -> dict[str, Any]:
    plain = {"layer": "bn1", "kind": "BatchNorm2d", "when": "after", "channels": 8, "dead_channels": 2}
    return plain | {"mean": 0.1, "std": 1.0, "shift": 0.5} | more


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = layers_path(folder, "lite0-0")
    write_csv(path, COLUMNS, rows)
    return path


def test_a_table_is_read_back(tmp_path: Path) -> None:
    path = written(tmp_path, row(when="before"), row(), row(layer="act1", kind="ReLU", shift=None))
    assert path.name == "lite0-0-layers.csv"
    assert read_layers(path) == {
        "before": [Layer("bn1", "BatchNorm2d", 8, 2, 0.5)],
        "after": [Layer("bn1", "BatchNorm2d", 8, 2, 0.5), Layer("act1", "ReLU", 8, 2, None)],
    }


def test_what_training_writes_is_what_the_report_reads(tmp_path: Path) -> None:
    from dataclasses import asdict, fields

    from dr_pipeline.training.layer_statistics import LayerStatistics

    statistics = LayerStatistics("bn1", "BatchNorm2d", "after", 8, 2, 0.1, 1.0, 0.5)
    path = tmp_path / "x-layers.csv"
    write_csv(path, [field.name for field in fields(LayerStatistics)], [asdict(statistics)])
    assert read_layers(path)["after"] == [Layer("bn1", "BatchNorm2d", 8, 2, 0.5)]


@pytest.mark.parametrize(
    "wrong", [{"when": "later"}, {"channels": 0, "dead_channels": 0}, {"dead_channels": 9}, {"shift": "far"}]
)
def test_a_row_that_cannot_be_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"row 3(.|\n)*dvc repro"):
        read_layers(written(tmp_path, row(), row(**wrong)))


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc repro"):
        read_layers(layers_path(tmp_path, "lite0-0"))


def test_summaries_name_the_worst_layers() -> None:
    before, after = summaries(layers(dead=3))
    assert (before.when, before.dead, after.dead, after.channels, after.layers) == ("before", 0, 3, 96, 4)
    assert before.with_dead == ()
    assert [layer.name for layer in after.with_dead] == ["backbone.<act1>"]
    assert [layer.name for layer in after.shifted] == ["backbone.bn1", "backbone.bn2"]
    assert after.mean_shift == pytest.approx((0.3 + 0.1) / 2)
    assert summaries({"before": [], "after": []})[0].mean_shift is None


def test_strips_show_each_layer_in_its_order() -> None:
    figure = layer_strips({"lite0-0": layers(dead=4), "b0-0": layers(dead=0)})
    strips = [np.asarray(image.get_array()) for panel in figure.axes for image in panel.get_images()]
    assert strips[0].tolist() == [[0.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.0, 0.0]]
    assert np.allclose(strips[1], [[1.5, 0.5], [0.3, 0.1]])


def test_networks_without_batch_norm_and_without_layers_are_drawn() -> None:
    only = {when: [layer for layer in found if layer.shift is None] for when, found in layers(1).items()}
    assert png(layer_strips({"$x_{": only, "empty": {"before": [], "after": []}}))


def test_a_trainings_run_gets_the_strips_as_a_picture(tmp_path: Path) -> None:
    from dr_pipeline.reporting.training_plots import item_pictures

    written(tmp_path, row(when="before"), row())
    epochs = history(3, 0.8)
    write_csv(tmp_path / "lite0-0.csv", list(epochs[0]), epochs)
    drawn = item_pictures("lite0-0", training=tmp_path, validation=tmp_path, predictions=tmp_path)
    assert set(drawn) == {"training.png", "layers.png"}
    assert all(data.startswith(b"\x89PNG") for data in drawn.values())
