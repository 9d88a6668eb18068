"""How figures get their intervals, and what is reported beside them."""

from pydantic import Field

from dr_pipeline.params.section import Section


class Evaluation(Section):
    """Bootstrap and confidence level; `two_eye_fusion` adds figures with the fellow eye, which are not shipped."""

    bootstrap_replicates: int = Field(ge=100)
    bootstrap_seed: int = Field(ge=0)
    confidence: float = Field(gt=0.5, lt=1)
    two_eye_fusion: bool
