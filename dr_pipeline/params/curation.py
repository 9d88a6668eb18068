"""The sections `audit`, `split` and `quality`: which photographs are used, and for what."""

from typing import Literal

from pydantic import Field

from dr_pipeline.params.section import Section

Action = Literal["report", "exclude", "stop"]
OnGroupConflict = Literal["stop", "leave_out"]


class Audit(Section):
    """What is done with each kind of finding, and the limits of three of them."""

    identical: Action
    near_duplicates: Action
    same_eye: Action = "report"
    contradictions: Action
    cross_patient: Action
    orphans: Literal["report", "stop"]
    unreadable: Literal["exclude", "stop"]
    not_fundus: Action
    several_fields: Action = "exclude"
    aspect: Action = "report"
    colour_order: Action
    identity: Action
    patient_ids: Literal["report", "unknown", "stop"] = "unknown"
    patient_spelling: Literal["report", "join", "stop"] = "join"
    grades: Literal["report", "stop"]
    shortcuts: Literal["report", "stop"]
    search_same_eye: Literal["auto", "always", "never"] = "auto"
    min_grade_photographs: int = Field(ge=1)
    max_shortcut_auc: float = Field(gt=0.5, le=1.0)
    max_patient_share: float = Field(gt=0, le=1, default=0.1)


class SplitParams(Section):
    """Where the test and validation parts come from: fractions, folds, and the salt of the hash."""

    salt: str = Field(min_length=1)
    test: Literal["share", "official", "sites"]
    test_share: float = Field(gt=0, lt=1)
    test_sites: tuple[str, ...]
    validation: Literal["folds", "share", "official"]
    num_folds: int = Field(ge=2, le=50)
    validation_share: float = Field(gt=0, lt=1)
    on_group_conflict: OnGroupConflict


class QualityParams(Section):
    """The lowest quality score that is graded, and the limit on what it may reject."""

    min_score: float = Field(ge=0, le=1)
    max_rejected_share: float = Field(ge=0, le=1)
