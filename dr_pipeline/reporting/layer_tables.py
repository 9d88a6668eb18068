"""Figures of a network's layers before and after training, as the report shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv

BEFORE, AFTER = "before", "after"
_COLUMNS = ("layer", "kind", "when", "channels", "dead_channels", "shift")
_NAMED = 3  # layers that a table names


@dataclass(frozen=True)
class Layer:
    """One layer at one time, from reports/training/<candidate>-<fold>-layers.csv.

    Attributes:
        name: In the grader.
        kind: Its class.
        channels: How many it puts out.
        dead: Of these, how many are never above zero after an activation, or the same number everywhere.
        shift: BatchNorm only: what comes in against the running mean, in running standard deviations.
    """

    name: str
    kind: str
    channels: int
    dead: int
    shift: float | None

    @property
    def dead_share(self) -> float:
        """Of its channels."""
        return self.dead / self.channels


# A training's layers in the order in which they run, before and after it.
Layers = dict[str, list[Layer]]


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
    with_dead: tuple[Layer, ...]
    mean_shift: float | None
    shifted: tuple[Layer, ...]


def layers_path(training: Path, name: str) -> Path:
    """The table of a training such as `lite0-0`, in the folder of the histories."""
    return training / f"{name}-layers.csv"


def read_layers(path: Path) -> Layers:
    """Reads the table that `train` wrote; it has no rows where no layer is a module that can be watched.

    Raises:
        DataError: It is missing, or has a row that cannot be.
    """
    layers: Layers = {BEFORE: [], AFTER: []}
    for number, row in enumerate(read_csv(path, _COLUMNS), start=2):
        try:
            shift = float(row["shift"]) if row["shift"] else None
            layer = Layer(row["layer"], row["kind"], int(row["channels"]), int(row["dead_channels"]), shift)
            if not 0 <= layer.dead <= layer.channels or not layer.channels:
                raise ValueError(f"{layer.dead} of {layer.channels} channels are dead")  # noqa: TRY301 (told below)
            layers[row["when"]].append(layer)
        except (KeyError, ValueError) as error:
            raise DataError(
                f"no figures of a layer: {error}", where=f"{path}, row {number}", todo="remove it and run `dvc repro`"
            ) from None
    return layers


def summaries(layers: Layers) -> list[Summary]:
    """Before, then after."""
    return [_summary(when, layers[when]) for when in (BEFORE, AFTER)]


def _summary(when: str, layers: Sequence[Layer]) -> Summary:
    shifts = [layer.shift for layer in layers if layer.shift is not None]
    with_dead = sorted((layer for layer in layers if layer.dead), key=lambda layer: -layer.dead_share)
    shifted = sorted((layer for layer in layers if layer.shift is not None), key=lambda layer: -(layer.shift or 0.0))
    return Summary(
        when=when,
        layers=len(layers),
        channels=sum(layer.channels for layer in layers),
        dead=sum(layer.dead for layer in layers),
        with_dead=tuple(with_dead[:_NAMED]),
        mean_shift=sum(shifts) / len(shifts) if shifts else None,
        shifted=tuple(shifted[:_NAMED]),
    )
