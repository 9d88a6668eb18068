"""reports/training/<candidate>-<fold>.csv and -layers.csv: a training's epochs, and its layers before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.tables.table import Cell, Table

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """One epoch."""

    epoch: int
    seconds: float
    train_loss: float
    validation_loss: float
    validation_qwk: float
    validation_qwk_error: float = 0.0  # its standard error, by the jackknife over groups
    learning_rate: float
    images_per_s: float


def chosen_epoch(history: Sequence[EpochRow]) -> EpochRow:
    """The last epoch whose validation QWK is within one standard error of the highest one's.

    The one-standard-error rule (Breiman et al., Classification and Regression Trees 1984, section 3.4.3). The highest
    of several noisy figures is mostly luck: on 41 photographs its standard error is 0.05. Later epochs have the lower
    learning rate and the longer average.

    Args:
        history: The finished epochs, at least one.
    """
    highest = max(history, key=lambda row: (row.validation_qwk, row.epoch))
    sufficient = highest.validation_qwk - highest.validation_qwk_error
    return max((row for row in history if row.validation_qwk >= sufficient), key=lambda row: row.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer over all photographs it was run on.

    Attributes:
        layer: Its name in the grader; `name#2` is the second call in one forward pass.
        kind: Its class, such as `BatchNorm2d` or `SiLU`.
        when: Before or after training.
        channels: Number of output channels.
        dead_channels: Channels that are never above zero after an activation, or constant everywhere.
        mean: Of all outputs.
        std: Of all outputs.
        shift: BatchNorm only: distance of the input's mean from the running mean, in running standard deviations, as
            the mean of the absolute values over the channels.
    """

    layer: str
    kind: str
    when: Annotated[str, Cell(among=(BEFORE, AFTER))]
    channels: int
    dead_channels: int
    mean: float
    std: float
    shift: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where the numbers of channels do not go together."""
        if not 0 <= self.dead_channels <= self.channels or not self.channels:
            raise ValueError(f"{self.dead_channels} of {self.channels} channels are dead")

    @property
    def dead_fraction(self) -> float:
        """Of its channels."""
        return self.dead_channels / self.channels


HISTORY = Table(EpochRow, version=None)
read_history = HISTORY.read
write_history = HISTORY.write

LAYERS = Table(LayerRow, version=None)
read_layers = LAYERS.read
write_layers = LAYERS.write
