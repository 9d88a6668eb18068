"""One candidate network, its schedule, and how its members are combined."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from dr_pipeline.params.section import Section

Channel = Literal["red", "green", "blue", "local_contrast"]
View = Literal["identity", "mirror", "rotate_90", "rotate_180", "rotate_270"]


class Network(Section):
    """What is changed of a timm network.

    `channels` are the planes of a canvas that it sees; `local_contrast` is the green channel against its
    neighbourhood's mean. `norm` swaps the normalisation layers; `own` leaves them. `head` is the classifier's form.
    """

    channels: tuple[Channel, ...] = Field(min_length=1)
    norm: Literal["own", "batch", "group", "layer"]
    head: Literal["linear", "mlp"]


class FineTuning(Section):
    """Which layers learn, when, and how fast.

    The learning rate of a layer is multiplied by `layer_decay` for each block between it and the classifier. For
    `frozen_epochs` the classifier learns alone; then blocks thaw from the last to the first over `thaw_epochs`.
    """

    layer_decay: float = Field(gt=0, le=1)
    frozen_epochs: int = Field(ge=0)
    thaw_epochs: int = Field(ge=0)


class Memory(Section):
    """How a batch is made to fit: computed in so many parts, or with activations computed twice."""

    accumulation: int = Field(ge=1)
    gradient_checkpointing: bool


class EnsembleParams(Section):
    """Networks and views whose grades are combined in the deployed graph; their latency counts in selection.

    `seeds` networks are trained on each fold; `folds` takes those of all folds. `views` are turns of the canvas
    (test-time augmentation). `weighted` and `stacked` are fitted on validation.
    """

    seeds: int = Field(ge=1, le=20)
    folds: bool
    combine: Literal["mean", "weighted", "stacked"]
    views: tuple[View, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_combined(self) -> Self:
        if len(set(self.views)) < len(self.views):
            raise PydanticCustomError("views", "a view is named twice; name each once")
        if self.combine != "mean" and self.folds:
            raise PydanticCustomError(
                "combine",
                "weighted and stacked are fitted on photographs that no network has learnt from, and with folds: true "
                "there are none; set combine to mean",
            )
        if self.combine != "mean" and self.seeds * len(self.views) == 1:
            raise PydanticCustomError("combine", "one network and one view leave nothing to fit; set combine to mean")
        return self


class Candidate(Section):
    """A timm network, its first weights and its schedule."""

    model: str = Field(min_length=1)
    weights: str = Field(pattern=r"^(none|timm|(file|bundle):.+)$")
    input_px: int = Field(ge=32, le=2048)
    epochs: int = Field(ge=1)
    batch_photographs: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    drop_rate: float = Field(ge=0, lt=1)
    drop_path_rate: float = Field(ge=0, lt=1)
    network: Network
    fine_tuning: FineTuning
    memory: Memory
    ensemble: EnsembleParams
