"""What the audit does with each kind of finding, and from where on something is one."""

from typing import Literal

from pydantic import Field

from dr_pipeline.params.section import Section

Action = Literal["report", "exclude", "stop"]


class Audit(Section):
    """What is done with each kind of finding, then limits."""

    identical: Action
    near_duplicates: Action
    contradictions: Action
    cross_patient: Action
    orphans: Literal["report", "stop"]
    unreadable: Literal["exclude", "stop"]
    not_fundus: Action
    colour_order: Action
    identity: Action
    grades: Literal["report", "stop"]
    shortcuts: Literal["report", "stop"]
    min_grade_photographs: int = Field(ge=1)
    max_shortcut_auc: float = Field(gt=0.5, le=1.0)
