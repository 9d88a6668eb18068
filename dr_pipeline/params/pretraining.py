"""The section `pretraining`: self-supervised training before the grades are used; `{}` leaves the stage out."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dr_pipeline.params.section import Section, contradiction
from dr_pipeline.params.training import Augmentation


class Pretraining(Section):
    """SimSiam on photographs without their grades, continuing from published weights.

    `photographs` is a folder of further photographs, with or without grades, or `data/canvases` for those of the data
    set alone. `crop_area` is the smallest area of a view, as a fraction of the canvas. `model`, `weights` and
    `precision` are as those of a candidate and of `training`.
    """

    model: str = Field(min_length=1)
    weights: str = Field(pattern=r"^(none|timm|(package|file|bundle):.+)$")
    photographs: str = Field(min_length=1)
    seed: int = Field(ge=0)
    input_px: int = Field(ge=32, le=2048)
    epochs: int = Field(ge=1)
    batch_photographs: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    precision: Literal["auto", "32-true", "bf16-mixed"]
    crop_area: float = Field(gt=0, le=1)
    augmentation: Augmentation

    @model_validator(mode="after")
    def _continues_from_weights(self) -> Self:
        if self.weights == "none":
            raise contradiction(
                "weights",
                "name the weights to continue from, such as timm or package:NAME: from random ones this needs far more "
                "photographs than a clinic has",
            )
        return self
