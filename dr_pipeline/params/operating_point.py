"""What the decision is fitted to on the validation split."""

from pydantic import Field

from dr_pipeline.params.section import Section


class OperatingPoint(Section):
    """The sensitivity wanted for referable disease, and the share of photographs a person is to look at."""

    target_referable_sensitivity: float = Field(gt=0.5, lt=1)
    human_review_share: float = Field(ge=0, lt=1)
