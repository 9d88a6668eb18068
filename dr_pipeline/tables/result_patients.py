"""patients.csv of `results`: one row per examination, which is a patient's visit."""

from dataclasses import dataclass
from enum import StrEnum

from dr_pipeline.tables.table import Fixed4, GradeCell, Table

VERSION = 1


class Decision(StrEnum):
    """What happens next with a patient."""

    REFER = "refer"  # to an ophthalmologist
    RESCREEN = "rescreen"  # photograph again
    RECALL = "recall"  # both eyes graded, neither referable: the next screening
    PERSON = "person"  # no decision by the software: a person decides


class Urgency(StrEnum):
    """How soon; empty where the software sets no time."""

    NONE = ""
    ROUTINE = "routine"
    SOON = "soon"
    URGENT = "urgent"
    IMMEDIATE = "immediate"


class Reason(StrEnum):
    """Why a decision is what it is, in the order in which reasons are listed. The first four forbid a decision."""

    BIRTH_DATES_DIFFER = "birth_dates_differ"  # one id, two people
    SITES_DIFFER = "sites_differ"  # one id and visit at two sites
    SAME_PHOTOGRAPH_ELSEWHERE = "same_photograph_elsewhere"  # under another patient, visit or eye: one of them is wrong
    EYE_UNKNOWN = "eye_unknown"  # a photograph without laterality, or with a contradictory one
    REFERABLE_EYE = "referable_eye"
    UNGRADABLE_EYE = "ungradable_eye"
    MISSING_EYE = "missing_eye"
    GRADE_CONTRADICTS_REFERABLE = "grade_contradicts_referable"  # cut points and locked referable point disagree


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientResult:
    """One examination. Without a decision (`person`) it has no grade; `any_referable` still states its photographs.

    `right` and `left` are graded, ungradable or missing. `reasons` are separated by semicolons.
    """

    patient_id: str
    visit: str = ""
    site: str = ""
    decision: Decision
    urgency: Urgency = Urgency.NONE
    within_months: int | None = None
    reasons: str = ""
    grade: GradeCell | None = None
    referable: bool | None = None
    vision_threatening: bool | None = None
    any_referable: bool
    uncertainty: Fixed4 | None = None
    needs_human: bool
    right: str = ""
    right_grade: GradeCell | None = None
    left: str = ""
    left_grade: GradeCell | None = None
    photographs: int
    text: str = ""


RESULT_PATIENTS = Table(PatientResult, version=VERSION, todo="run `dr-pipeline results`, which writes it again")
