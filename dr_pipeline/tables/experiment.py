"""reports/experiments/<name>.csv: one row per arm; <name>-sites.csv, where folds are sites: one per arm and site."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRow:
    """The figures of one arm at one site; None where they are undefined."""

    arm: str
    protocol: str  # leave_one_site_out: the site was held out; one_site_to_rest: trained on
    site: str
    training_photographs: int
    validation_photographs: int
    n: int
    groups: int
    qwk: Fixed4 | None
    qwk_low: Fixed4 | None
    qwk_high: Fixed4 | None
    referable_auc: Fixed4 | None
    referable_auc_low: Fixed4 | None
    referable_auc_high: Fixed4 | None
    accuracy: Fixed4 | None
    accuracy_low: Fixed4 | None
    accuracy_high: Fixed4 | None
    macro_auc: Fixed4 | None  # one grade against the rest
    macro_auc_low: Fixed4 | None
    macro_auc_high: Fixed4 | None
    macro_auc_one_vs_one: Fixed4 | None  # as GDRBench's code computes it
    macro_auc_one_vs_one_low: Fixed4 | None
    macro_auc_one_vs_one_high: Fixed4 | None
    macro_f1: Fixed4 | None
    macro_f1_low: Fixed4 | None
    macro_f1_high: Fixed4 | None
    research_use: str = RESEARCH_USE


SITES = Table(SiteRow, version=1)
write_sites = SITES.write
EXPERIMENT = Table(ArmRow, version=VERSION)
read_experiment = EXPERIMENT.read
write_experiment = EXPERIMENT.write
