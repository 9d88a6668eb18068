"""The sections `evaluation` … `deployment`: figures, decision, and what may be deployed."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.section import Section, closest, contradiction


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


class Formats(Section):
    """The formats of each candidate that `select` compares, and the photographs to calibrate int8 on."""

    names: tuple[Literal["onnx", "onnx-fp16", "onnx-int8"], ...] = ("onnx",)
    calibration_photographs: int = Field(default=300, ge=300)

    @model_validator(mode="after")
    def _has_the_reference(self) -> Self:
        if "onnx" not in self.names or len(set(self.names)) < len(self.names):
            raise contradiction("names", "needs `onnx`, which the others are compared with, and each name once")
        return self

    @property
    def reduced(self) -> tuple[str, ...]:
        """Those of fewer bits than float32."""
        return tuple(name for name in self.names if name != "onnx")


MACHINE = "machine"  # `deployment.target`: the machine on which the stage `latency` runs


class FormatLimits(Section):
    """What a format of fewer bits may change against float32, on the validation photographs."""

    qwk_margin: float = Field(default=0.01, ge=0, le=1)
    changed_grades: float = Field(default=0.05, ge=0, le=1)
    changed_referrals: float = Field(default=0.02, ge=0, le=1)


class Deployment(Section):
    """Limits of a deployable candidate, and the machine whose latency counts.

    With `cascades`, each pair of candidates that is better as two networks in a row is a candidate too. `lesions` names
    the entry of the section `lesions` whose network the bundle gets for `score --lesions`; null: the only one.
    """

    families: tuple[str, ...] = Field(min_length=1)
    latency_budget_ms: float = Field(gt=0)
    referable_sensitivity_floor: float = Field(ge=0, le=1)
    max_megabytes: float | None = Field(default=None, gt=0)
    max_memory_mib: float | None = Field(default=None, gt=0)
    target: str = Field(default=MACHINE, min_length=1)
    formats: Formats = Formats()
    format_limits: FormatLimits = FormatLimits()
    cascades: bool = True
    lesions: str | None = Field(default=None, min_length=1)

    def lesion_network(self, entries: Sequence[str]) -> str | None:
        """The entry of the section `lesions` whose network the bundle gets; None where there are none.

        Args:
            entries: The section's names.

        Raises:
            ParamsError: There is no entry of that name, or there are several and none is named.
        """
        if self.lesions is None and len(entries) > 1:
            raise ParamsError(
                f"a bundle holds one network for lesions, and there are {len(entries)}: {', '.join(entries)}",
                where="deployment.lesions",
                todo="name the one to deploy",
            )
        if self.lesions is not None and self.lesions not in entries:
            raise ParamsError(
                f"the section `lesions` has no {self.lesions!r}{closest(self.lesions, entries)}",
                where="deployment.lesions",
                todo="name one of its entries, or null for the only one",
            )
        return self.lesions or next(iter(entries), None)
