"""The section `lesions.NAME.training`: network, tiles, loss and schedule of a segmentation of lesions."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dr_pipeline.params.section import Section, contradiction
from dr_pipeline.params.training import Augmentation


class GradingTask(Section):
    """Grades as a second task of the encoder: each step also learns a batch of photographs of the grading set.

    Their loss is cross-entropy, in which a grade of n photographs weighs n^-`balance_exponent`, as in
    `training.balance`; it is added `weight` times to the lesions', and 0 leaves it out. `input_px` is the side to which
    their canvases are resized, as a candidate's.
    """

    weight: float = Field(default=0.0, ge=0)
    input_px: int = Field(default=288, ge=32, le=2048)
    batch_photographs: int = Field(default=8, ge=2)
    balance_exponent: float = Field(default=0.5, ge=0, le=1)


class LesionTraining(Section):
    """How the network that outlines lesions is trained, and how it runs over a canvas.

    `model` is any timm network with a pyramid of feature maps; `weights` are as a candidate's, so that the encoder may
    start from ImageNet, from a grader's bundle, or from a self-supervised encoder. An epoch draws
    `tiles_per_photograph` tiles of each photograph in the mean. `lesion_tiles` is the fraction of tiles that are drawn
    around a lesion; the others lie anywhere. The loss is 1 - Tversky's index, with the weight `false_positives` for
    false positives and the rest for false negatives (0.5 is Dice), plus `focal_weight` times the focal loss. `overlap`
    is that of neighbouring tiles at inference, as a fraction of a tile. With `grading` the encoder learns grades too.
    """

    model: str = Field(min_length=1)
    weights: str = Field(pattern=r"^(none|timm|(package|file|bundle):.+)$")
    decoder_channels: int = Field(ge=16, le=1024)  # of the coarsest step; each finer one has half, 16 at least
    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    tiles_per_photograph: int = Field(ge=1)
    tile_px: int = Field(ge=64, le=2048)
    batch_tiles: int = Field(ge=2)
    lesion_tiles: float = Field(ge=0, le=1)
    learning_rate: float = Field(gt=0)
    encoder_rate: float = Field(gt=0, le=1)  # learning rate of the encoder, as a fraction of the decoder's
    weight_decay: float = Field(ge=0)
    warmup_share: float = Field(ge=0, lt=1)
    clip_norm: float = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1)
    false_positives: float = Field(gt=0, lt=1)
    focal_gamma: float = Field(ge=0)
    focal_weight: float = Field(ge=0)
    precision: Literal["auto", "32-true", "bf16-mixed"]
    overlap: float = Field(ge=0, le=0.9)  # as lesions.onnx may state it
    augmentation: Augmentation
    grading: GradingTask = GradingTask()

    @model_validator(mode="after")
    def _shows_a_tile(self) -> Self:
        if self.augmentation.camera or self.augmentation.coarse_dropout_probability:
            raise contradiction(
                "augmentation",
                "camera and coarse_dropout_probability are made for whole canvases; set both to 0: a tile has no rim, "
                "and a hole would hide a lesion that the mask still shows",
            )
        return self
