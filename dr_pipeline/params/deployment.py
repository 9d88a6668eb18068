"""What may be deployed."""

from pydantic import Field

from dr_pipeline.params.section import Section


class Deployment(Section):
    """Families, latency and sensitivity that a deployable candidate must keep to."""

    families: tuple[str, ...] = Field(min_length=1)
    latency_budget_ms: float = Field(gt=0)
    referable_sensitivity_floor: float = Field(ge=0, le=1)
