"""Figures of a network's layers before and after training, as the report shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.tables.history import AFTER, BEFORE, LayerRow, read_layers

_NAMED = 3  # layers that a table names


# A training's layers in the order in which they run, before and after it.
Layers = dict[str, list[LayerRow]]


@dataclass(frozen=True)
class Summary:
    """A training's layers at one time, in figures.

    Attributes:
        when: Before or after training.
        layers: How many were watched.
        channels: Of all of them.
        dead: Of all of them.
        with_dead: Layers with the largest share of dead channels, none without any.
        mean_shift: Over the BatchNorm layers; None where there is none.
        shifted: The BatchNorm layers with the largest shift.
    """

    when: str
    layers: int
    channels: int
    dead: int
    with_dead: tuple[LayerRow, ...]
    mean_shift: float | None
    shifted: tuple[LayerRow, ...]


def layers_path(training: Path, name: str) -> Path:
    """The table of a training such as `lite0-0`, in the folder of the histories."""
    return training / f"{name}-layers.csv"


def read_layers_by_time(path: Path) -> Layers:
    """Reads the table that `train` wrote; it has no rows where no layer is a module that can be observed.

    Raises:
        DataError: It is missing, or has an invalid row.
    """
    rows = read_layers(path)
    return {when: [row for row in rows if row.when == when] for when in (BEFORE, AFTER)}


def summaries(layers: Layers) -> list[Summary]:
    """Before, then after."""
    return [_summary(when, layers[when]) for when in (BEFORE, AFTER)]


def _summary(when: str, layers: Sequence[LayerRow]) -> Summary:
    shifts = [layer.shift for layer in layers if layer.shift is not None]
    with_dead = sorted((layer for layer in layers if layer.dead_channels), key=lambda layer: -layer.dead_fraction)
    shifted = sorted((layer for layer in layers if layer.shift is not None), key=lambda layer: -(layer.shift or 0.0))
    return Summary(
        when=when,
        layers=len(layers),
        channels=sum(layer.channels for layer in layers),
        dead=sum(layer.dead_channels for layer in layers),
        with_dead=tuple(with_dead[:_NAMED]),
        mean_shift=sum(shifts) / len(shifts) if shifts else None,
        shifted=tuple(shifted[:_NAMED]),
    )
