"""What all candidates share in training."""

from typing import Literal

from pydantic import Field

from dr_pipeline.params.section import Section


class Augmentation(Section):
    """Label-preserving changes to a canvas, drawn anew each epoch."""

    rotation_deg: float = Field(ge=0, le=180)
    flip: bool
    scale: float = Field(ge=0, lt=0.5)
    translation: float = Field(ge=0, lt=0.5)
    brightness: float = Field(ge=0, lt=1)
    contrast: float = Field(ge=0, lt=1)
    saturation: float = Field(ge=0, lt=1)
    hue: float = Field(ge=0, le=0.5)
    blur_probability: float = Field(ge=0, le=1)
    jpeg_probability: float = Field(ge=0, le=1)


class Training(Section):
    """Loss, optimiser, averaging and augmentation."""

    seed: int = Field(ge=0)
    class_weight_exponent: float = Field(ge=0, le=1)
    label_smoothing: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    warmup_share: float = Field(ge=0, lt=1)
    ema_decay: float = Field(ge=0, lt=1)
    clip_norm: float = Field(gt=0)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    augmentation: Augmentation
