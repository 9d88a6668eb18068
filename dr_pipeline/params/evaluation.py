"""How figures get their intervals, and how decisions are fitted on validation."""

from pydantic import Field

from dr_pipeline.params.section import Section


class Evaluation(Section):
    """Bootstrap, confidence and the operating point wanted."""

    bootstrap_replicates: int = Field(ge=100)
    bootstrap_seed: int = Field(ge=0)
    confidence: float = Field(gt=0.5, lt=1)
    target_referable_sensitivity: float = Field(gt=0.5, lt=1)
    human_review_share: float = Field(ge=0, lt=1)
