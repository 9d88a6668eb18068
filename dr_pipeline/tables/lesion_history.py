"""reports/lesions/<name>-<fold>.csv: the epochs of a training that outlines lesions."""

from dataclasses import dataclass

from dr_pipeline.tables.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionEpoch:
    """One epoch.

    Attributes:
        epoch: From 0.
        seconds: Of the epoch.
        loss: Of lesions, mean over its steps.
        learning_rate: Of the decoder, at the end of the epoch.
        tiles_per_s: Tiles per second.
        grade_loss: Mean over its steps; None where lesions are learned alone.
    """

    epoch: int
    seconds: float
    loss: float
    learning_rate: float
    tiles_per_s: float
    grade_loss: float | None = None


LESION_HISTORY = Table(LesionEpoch, version=None)
read_lesion_history = LESION_HISTORY.read
write_lesion_history = LESION_HISTORY.write
