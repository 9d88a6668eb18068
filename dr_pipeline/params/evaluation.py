"""The sections `evaluation` … `promotion`: figures, decision, what may be deployed, what may replace it."""

from typing import Annotated

from pydantic import Field

from dr_pipeline.params.section import Section


class Evaluation(Section):
    """Bootstrap and confidence level; `two_eye_fusion` adds figures with the fellow eye, which are not shipped.

    `prevalences` of referable disease are those for which predictive values are stated.
    """

    bootstrap_replicates: int = Field(ge=100)
    bootstrap_seed: int = Field(ge=0)
    confidence: float = Field(gt=0.5, lt=1)
    two_eye_fusion: bool
    prevalences: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(default=(0.05, 0.1, 0.2), min_length=1)


class OperatingPoint(Section):
    """The target sensitivity for referable disease, and the fraction of photographs for human review."""

    target_referable_sensitivity: float = Field(gt=0.5, lt=1)
    human_review_share: float = Field(ge=0, lt=1)


class Latency(Section):
    """Photographs and threads of the latency measurement."""

    warmup_photographs: int = Field(ge=1)
    num_photographs: int = Field(ge=10)
    threads: int = Field(ge=1)


class Deployment(Section):
    """Limits of a deployable candidate, and the machine whose latency counts."""

    families: tuple[str, ...] = Field(min_length=1)
    latency_budget_ms: float = Field(gt=0)
    referable_sensitivity_floor: float = Field(ge=0, le=1)
    max_megabytes: float | None = Field(default=None, gt=0)
    max_memory_mib: float | None = Field(default=None, gt=0)
    target: str = Field(default="machine", min_length=1)


class Promotion(Section):
    """What a new champion of the registry may lose against the present one, in the figure's own unit."""

    qwk_margin: float = Field(ge=0, lt=1)
    referable_sensitivity_margin: float = Field(ge=0, lt=1)
