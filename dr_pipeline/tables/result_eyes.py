"""eyes.csv of `results`: both eyes of every examination that has a decision."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from dr_pipeline.schema import Eye
from dr_pipeline.tables.table import Fixed4, GradeCell, Table, per_grade

VERSION = 1


class EyeStatus(StrEnum):
    """What is known of an eye."""

    GRADED = "graded"
    UNGRADABLE = "ungradable"  # photographed, none gradable
    MISSING = "missing"  # no readable photograph


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeResult:
    """One eye at one visit. Its grade, probabilities and uncertainty are those of its worst gradable photograph.

    `photographs` is the sum of the five counts after it; `image_id` names the worst gradable photograph.
    """

    patient_id: str
    visit: str = ""
    eye: Eye
    status: EyeStatus
    image_id: str = ""
    grade: GradeCell | None = None
    probabilities: Annotated[tuple[float, ...], per_grade("p")] | None = None
    uncertainty: Fixed4 | None = None
    referable: bool | None = None
    vision_threatening: bool | None = None
    needs_human: bool
    photographs: int
    scored: int
    ungradable: int
    not_fundus: int
    failed: int
    duplicates: int


RESULT_EYES = Table(EyeResult, version=VERSION, todo="run `dr-pipeline results`, which writes it again")
