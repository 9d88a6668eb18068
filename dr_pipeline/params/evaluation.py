"""How figures get their intervals."""

from pydantic import Field

from dr_pipeline.params.section import Section


class Evaluation(Section):
    """Bootstrap and confidence level."""

    bootstrap_replicates: int = Field(ge=100)
    bootstrap_seed: int = Field(ge=0)
    confidence: float = Field(gt=0.5, lt=1)
