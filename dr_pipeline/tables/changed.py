"""changed.csv: the photographs that a new grader answers otherwise than the old one."""

from dataclasses import dataclass
from enum import StrEnum

from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.tables.table import Fixed6, GradeCell, Table

VERSION = 1


class Effect(StrEnum):
    """Whether the new answer is nearer to the readers'."""

    BETTER = "better"
    WORSE = "worse"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    """One photograph; its grade by a grader is empty where a clinic would see none."""

    image_id: str
    grade: GradeCell  # by the readers
    effect: Effect
    referral_changed: bool
    old_status: Status
    new_status: Status
    old_grade: GradeCell | None
    new_grade: GradeCell | None
    old_referred: bool  # referable, or without a grade
    new_referred: bool
    old_referable_probability: Fixed6 | None
    new_referable_probability: Fixed6 | None
    research_use: str = RESEARCH_USE


CHANGED = Table(ChangedRow, version=VERSION, todo="run `dr-pipeline compare`, which writes it again")
read_changed = CHANGED.read
write_changed = CHANGED.write
