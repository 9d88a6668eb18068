"""Layers by depth as strips of colour: dead channels, and the shift of BatchNorm inputs from their running mean."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dr_pipeline.reporting.layer_tables import Layers
from dr_pipeline.reporting.plot_style import QUIET, blank, style
from dr_pipeline.tables.history import AFTER, BEFORE, LayerRow

_TIMES = (BEFORE, AFTER)
# The least upper end of a colour scale, so that negligible values are not drawn in strong colours.
_LEAST_DEAD, _LEAST_SHIFT = 0.1, 0.5
_MOST_SHIFT = 3.0  # standard deviations; more has the same colour


def layer_strips(trainings: Mapping[str, Layers]) -> Figure:
    """A row for each training; in it two strips of two lines, before and after, the first layer on the left.

    Args:
        trainings: The layers of each training by its name.
    """
    with style():
        figure = blank(10, 0.5 + 1.25 * len(trainings))
        rows = figure.subplots(len(trainings), 2, squeeze=False)
        for (dead, shift), (name, layers) in zip(rows, trainings.items(), strict=True):
            _strip(dead, layers, lambda layer: layer.dead_fraction, f"{name}: share of dead channels", 1.0, _LEAST_DEAD)
            _strip(shift, layers, lambda layer: layer.shift, f"{name}: shift of BatchNorm", _MOST_SHIFT, _LEAST_SHIFT)
    return figure


def _strip(
    panel: Any, layers: Layers, figure_of: Callable[[LayerRow], float | None], title: str, most: float, least: float
) -> None:
    lines = [[figure_of(layer) for layer in layers[when]] for when in _TIMES]
    known = [[value for value in line if value is not None] for line in lines]
    panel.set_title(title, fontsize=9.5, parse_math=False)
    panel.grid(visible=False)
    panel.set_xticks([])
    width = max(map(len, known))
    if not width:
        panel.set_yticks([])
        panel.text(0.5, 0.5, "there is no such layer", ha="center", va="center", color=QUIET)
        return
    table = np.full((len(_TIMES), width), np.nan)
    for row, values in enumerate(known):
        table[row, : len(values)] = values
    top = min(most, max(least, float(np.nanmax(table))))
    image = panel.imshow(table, cmap="magma_r", vmin=0.0, vmax=top, aspect="auto", interpolation="nearest")
    panel.set_yticks(range(len(_TIMES)), _TIMES, fontsize=8)
    panel.set_xlabel(f"{width} layers, first to last", fontsize=8)
    panel.figure.colorbar(image, ax=panel, pad=0.01).ax.tick_params(labelsize=7.5)
