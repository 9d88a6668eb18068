"""The layers' figures: read, checked, summarised and drawn in their order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.reporting.layer_plots import layer_strips
from dr_pipeline.reporting.layer_tables import layers_path, read_layers_by_time, summaries
from dr_pipeline.reporting.plot_style import png
from dr_pipeline.tables.history import LayerRow, write_history, write_layers
from tests.factories.reports import history, layer, layers

ROW = layer("bn1", "BatchNorm2d", "after", 8, 2, 0.5)


def written(folder: Path, *rows: LayerRow) -> Path:
    path = layers_path(folder, "lite0-0")
    write_layers(path, rows)
    return path


def test_a_table_is_read_back(tmp_path: Path) -> None:
    before, other = replace(ROW, when="before"), layer("act1", "ReLU", "after", 8, 2, None)
    path = written(tmp_path, before, ROW, other)
    assert path.name == "lite0-0-layers.csv"
    assert read_layers_by_time(path) == {"before": [before], "after": [ROW, other]}


@pytest.mark.parametrize("wrong", [",later,8,2,", ",after,0,0,", ",after,8,9,", ",after,8,far,"])
def test_an_invalid_row_is_refused(tmp_path: Path, wrong: str) -> None:
    path = written(tmp_path, ROW, replace(ROW, layer="bn2"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace(",after,8,2,", wrong), ""]))
    with pytest.raises(DataError, match=r"row 3(.|\n)*dvc repro"):
        read_layers_by_time(path)


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc repro"):
        read_layers_by_time(layers_path(tmp_path, "lite0-0"))


def test_summaries_name_the_worst_layers() -> None:
    before, after = summaries(layers(dead=3))
    assert (before.when, before.dead, after.dead, after.channels, after.layers) == ("before", 0, 3, 96, 4)
    assert before.with_dead == ()
    assert [row.layer for row in after.with_dead] == ["backbone.<act1>"]
    assert [row.layer for row in after.shifted] == ["backbone.bn1", "backbone.bn2"]
    assert after.mean_shift == pytest.approx((0.3 + 0.1) / 2)
    assert summaries({"before": [], "after": []})[0].mean_shift is None


def test_strips_show_each_layer_in_its_order() -> None:
    figure = layer_strips({"lite0-0": layers(dead=4), "b0-0": layers(dead=0)})
    strips = [np.asarray(image.get_array()) for panel in figure.axes for image in panel.get_images()]
    assert strips[0].tolist() == [[0.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.0, 0.0]]
    assert np.allclose(strips[1], [[1.5, 0.5], [0.3, 0.1]])


def test_networks_without_batch_norm_and_without_layers_are_drawn() -> None:
    only = {when: [row for row in rows if row.shift is None] for when, rows in layers(1).items()}
    assert png(layer_strips({"$x_{": only, "empty": {"before": [], "after": []}}))


def test_a_trainings_run_gets_the_strips_as_a_picture(tmp_path: Path) -> None:
    from dr_pipeline.reporting.training_plots import candidate_plots

    written(tmp_path, replace(ROW, when="before"), ROW)
    write_history(tmp_path / "lite0-0.csv", history(3, 0.8))
    drawn = candidate_plots("lite0-0", training=tmp_path, validation=tmp_path, predictions=tmp_path)
    assert set(drawn) == {"training.png", "layers.png"}
    assert all(data.startswith(b"\x89PNG") for data in drawn.values())
