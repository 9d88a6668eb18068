"""reports/pretraining/<name>.csv: the epochs of a self-supervised training."""

from dataclasses import dataclass

from dr_pipeline.tables.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingRow:
    """One epoch.

    Attributes:
        epoch: From 0.
        seconds: Of the epoch.
        loss: Mean negative cosine similarity of two views of a photograph, from −1 (equal) to 1.
        spread: Of the projections over photographs, see `training/self_supervised/simsiam.py`: near 1 where they differ
            in every direction, 0 where they are all the same (collapse).
        learning_rate: At the end of the epoch.
        images_per_s: Photographs per second, each seen twice.
    """

    epoch: int
    seconds: float
    loss: float
    spread: float
    learning_rate: float
    images_per_s: float


PRETRAINING = Table(PretrainingRow, version=None)
read_pretraining = PRETRAINING.read
write_pretraining = PRETRAINING.write
