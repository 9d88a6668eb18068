"""What the audit does with each kind of finding."""

from typing import Literal

from dr_pipeline.params.section import Section

Action = Literal["report", "exclude", "stop"]


class Audit(Section):
    """What is done with each kind of finding."""

    identical: Action
    contradictions: Action
    cross_patient: Action
    orphans: Literal["report", "stop"]
    unreadable: Literal["exclude", "stop"]
