"""predictions.csv: what `score` writes, one row per file."""

from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.table import Fixed2, Fixed4, Fixed6, GradeCell, Table, per_grade

VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow:
    """One file. Grade and probabilities are None unless its status is `scored`."""

    image_id: str
    path: str
    sha256: str
    status: Status
    reason: str = ""
    duplicate_of: str = ""
    patient_id: str = ""
    eye: Eye = Eye.UNKNOWN
    visit: str = ""
    birth_date_hash: str = ""  # of the DICOM header, salted: two of them for one patient_id are two people
    site: str = ""
    grade: GradeCell | None = None
    probabilities: Annotated[tuple[float, ...], per_grade("p")] | None = None
    expected_grade: Fixed4 | None = None
    referable: bool | None = None
    referable_probability: Fixed6 | None = None
    vision_threatening: bool | None = None
    needs_human: bool = True
    quality: Fixed4 | None = None
    width: int | None = None  # of the upright original, px
    height: int | None = None
    disc_radius: Fixed2 | None = None  # of the retinal disc, in px of the upright original
    camera: str = ""  # maker and model, from EXIF or the DICOM header
    brightness: Fixed2 | None = None  # these five: see `dr_pipeline.fundus.quality.measures.Appearance`
    contrast: Fixed6 | None = None
    sharpness: Fixed4 | None = None
    red_over_green: Fixed4 | None = None
    blue_over_green: Fixed4 | None = None
    bundle_id: str


PREDICTIONS = Table(PredictionRow, version=VERSION)
read_predictions = PREDICTIONS.read
write_predictions = PREDICTIONS.write
# The columns that concern one photograph alone, without the folder it came with: MLflow's model answers with these.
_OF_THE_FOLDER = ("schema_version", "image_id", "duplicate_of")
_OF_THE_PERSON = ("patient_id", "eye", "visit", "birth_date_hash", "site")
PHOTOGRAPH_COLUMNS = tuple(name for name in PREDICTIONS.columns if name not in (*_OF_THE_FOLDER, *_OF_THE_PERSON))
