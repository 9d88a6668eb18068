"""photographs.csv of `results`: one row per row of the predictions, with its use in the results of patients."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.table import Fixed4, GradeCell, Table, per_grade

VERSION = 1


class Use(StrEnum):
    """What became of a photograph in the results of eyes and patients. Every photograph has exactly one."""

    COUNTED = "counted"  # in the row of its eye
    DUPLICATE = "duplicate"  # the same pixels are counted already
    NO_EYE = "no_eye"  # a file that is no readable photograph, of an unknown eye
    NO_DECISION = "no_decision"  # its patient has no decision
    NO_PATIENT = "no_patient"  # unknown patient: this row is its only result


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographResult:
    """One file. Grade and what follows from it stand only where its status is `scored`; `uncertainty` is 0 … 1."""

    image_id: str
    path: str
    sha256: str
    patient_id: str = ""
    visit: str = ""
    eye: Eye = Eye.UNKNOWN
    site: str = ""
    status: Status
    reason: str = ""
    duplicate_of: str = ""
    use: Use
    grade: GradeCell | None = None
    probabilities: Annotated[tuple[float, ...], per_grade("p")] | None = None
    uncertainty: Fixed4 | None = None
    referable: bool | None = None
    vision_threatening: bool | None = None
    needs_human: bool
    bundle_id: str


RESULT_PHOTOGRAPHS = Table(PhotographResult, version=VERSION, todo="run `dr-pipeline results`, which writes it again")
