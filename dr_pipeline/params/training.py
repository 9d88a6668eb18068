"""The section `training`: what all candidates share."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dr_pipeline.params.losses import registered_loss
from dr_pipeline.params.section import Section, contradiction

Sampling = Literal["natural", "balanced", "decaying"]


class Objective(Section):
    """What is minimised.

    `focal_gamma` is read by `focal` only, `ordinal_width` by `soft_ordinal` only, `kappa_share` by `soft_kappa` only.
    """

    loss: Annotated[str, AfterValidator(registered_loss)]
    label_smoothing: float = Field(ge=0, lt=1)
    focal_gamma: float = Field(ge=0)
    ordinal_width: float = Field(default=1.0, gt=0)
    kappa_share: float = Field(gt=0, le=1)  # the rest is cross-entropy


class Balance(Section):
    """Compensation for rare grades: weights in the loss, or how often a photograph is sampled.

    `exponent` weighs a grade of n photographs by n^-exponent; `effective_number` by (1 - beta) / (1 - beta^n) (Cui et
    al. 2019). `balanced` samples all grades equally often, `decaying` moves from there to their natural frequencies.
    Weights and sampling together count rare grades twice, and need `weights_and_sampling`. `site_temperature` T draws
    a site of n photographs in proportion to n^(1/T), so that a large data set does not drown a small one.
    """

    weights: Literal["none", "exponent", "effective_number"]
    exponent: float = Field(ge=0, le=1)
    beta: float = Field(ge=0, lt=1)
    sampling: Sampling
    site_temperature: float = Field(ge=1, default=1.0)
    weights_and_sampling: bool

    @model_validator(mode="after")
    def _count_rare_grades_once(self) -> Self:
        if self.weights != "none" and self.sampling != "natural" and not self.weights_and_sampling:
            raise contradiction(
                "weights_and_sampling",
                "weights and sampling both compensate for rare grades, which then count twice; set weights to none or "
                "sampling to natural, or weights_and_sampling to true if that is intended",
            )
        return self


class Mixing(Section):
    """Two photographs in one: blended (mixup) or cut and pasted (CutMix). An alpha of 0 disables that method."""

    probability: float = Field(ge=0, le=1)  # of a batch
    mixup_alpha: float = Field(ge=0)
    cutmix_alpha: float = Field(ge=0)

    @model_validator(mode="after")
    def _has_an_alpha(self) -> Self:
        if self.probability and not (self.mixup_alpha or self.cutmix_alpha):
            raise contradiction("probability", "is above 0 and both alphas are 0; raise an alpha or set it to 0")
        return self


class Distillation(Section):
    """Training on a teacher's probabilities as well (Hinton et al. 2015).

    The teacher is a finished bundle, or with `seeds` the mean of the candidate's own `ensemble.seeds` networks, which
    are trained first; only their student is kept.
    """

    teacher: str = Field(pattern=r"^(none|seeds|bundle:.+)$")
    weight: float = Field(ge=0, le=1)  # of the teacher's term; the objective has the rest
    temperature: float = Field(gt=0)


class Augmentation(Section):
    """Label-preserving changes to a canvas, drawn again in each epoch.

    `scale` draws a factor within 1 ± scale for the width and another for the height, so that discs become ovals too, as
    with the second place of Kaggle's Diabetic Retinopathy Detection 2015 (team o_O: `allow_stretch`). `camera` sends
    the canvas through a drawn camera of `fundus.camera_models`: three models at a strength drawn between 0 and this.
    """

    rotation_deg: float = Field(ge=0, le=180)
    flip: bool
    scale: float = Field(ge=0, lt=0.5)
    translation: float = Field(ge=0, lt=0.5)
    brightness: float = Field(ge=0, lt=1)
    contrast: float = Field(ge=0, lt=1)
    saturation: float = Field(ge=0, lt=1)
    hue: float = Field(ge=0, le=0.5)
    camera: float = Field(default=0.0, ge=0, le=1)
    blur_probability: float = Field(ge=0, le=1)
    jpeg_probability: float = Field(ge=0, le=1)
    coarse_dropout_probability: float = Field(ge=0, le=1)


class Training(Section):
    """Objective, optimiser, averaging and augmentation.

    With `adaptive_batch_norm: validation` the network's statistics are those of the photographs that the decision is
    fitted and validated on: no grade is used, but validation figures are then slightly optimistic (transductive).
    """

    seed: int = Field(ge=0)
    objective: Objective
    balance: Balance
    reader_agreement: float = Field(ge=0, le=1)  # fraction of the readers' distribution in a target
    mixing: Mixing
    distillation: Distillation
    weight_decay: float = Field(ge=0)
    warmup_share: float = Field(ge=0, lt=1)
    ema_decay: float = Field(ge=0, lt=1)
    clip_norm: float = Field(gt=0)
    adaptive_batch_norm: Literal["none", "training", "validation"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    compile: bool
    augmentation: Augmentation
