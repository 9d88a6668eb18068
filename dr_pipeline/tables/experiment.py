"""reports/experiments/<name>.csv: one row per arm of an experiment."""

from dataclasses import dataclass

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.table import Fixed4, Table

VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRow:
    """One arm; the figures of an arm that was only timed are None."""

    arm: str
    qwk: Fixed4 | None = None
    qwk_low: Fixed4 | None = None
    qwk_high: Fixed4 | None = None
    referable_auc: Fixed4 | None = None
    referable_auc_low: Fixed4 | None = None
    referable_auc_high: Fixed4 | None = None
    accuracy: Fixed4 | None = None
    accuracy_low: Fixed4 | None = None
    accuracy_high: Fixed4 | None = None
    qwk_minus_first: Fixed4 | None = None
    qwk_minus_first_low: Fixed4 | None = None
    qwk_minus_first_high: Fixed4 | None = None
    camera_shift: Fixed4 | None = None  # strength of the cameras of the next four; None where none was tried
    shifted_qwk_minus_first: Fixed4 | None = None  # mean over all cameras
    shifted_qwk_minus_first_low: Fixed4 | None = None
    shifted_qwk_minus_first_high: Fixed4 | None = None
    worst_camera: str = ""
    worst_camera_change: Fixed4 | None = None  # of QWK, against the photographs as they are
    n: int | None = None
    groups: int | None = None
    folds: int | None = None
    qwk_by_fold: str = ""  # one figure per outer fold, separated by blanks
    epochs: int | None = None
    input_px: int
    parameters: int
    training_seconds: float | None = None  # of all folds
    training_images_per_s: float | None = None
    inference_images_per_s: float | None = None
    throughput_of: str  # how both speeds were measured
    device: str
    research_use: str = RESEARCH_USE


EXPERIMENT = Table(ArmRow, version=VERSION)
read_experiment = EXPERIMENT.read
write_experiment = EXPERIMENT.write
