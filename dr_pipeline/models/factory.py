"""Makes a grader from a timm name: backbone, its own normalisation inside, five logits out."""

import difflib
import re
from dataclasses import dataclass
from typing import cast

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.schema import NUM_GRADES


@dataclass(frozen=True)
class Normalisation:
    """What a backbone's weights expect of RGB values in 0 … 1; travels with the weights."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Grader(nn.Module):
    """A network from pixels as they are stored to logits of the five grades.

    Normalisation is part of the graph, so that training, export and scoring cannot differ in it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(normalisation.mean).mul(255).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalisation.std).mul(255).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) → logits (N, 5)."""
        # permute of NHWC is channels_last already: no copy before the cast
        pixels = image.permute(0, 3, 1, 2).to(self.mean.dtype)
        return cast("Tensor", self.backbone((pixels - self.mean) / self.std))


def create_grader(model: str, *, input_px: int, drop_rate: float, drop_path_rate: float) -> Grader:
    """An untrained grader on the timm backbone `model`.

    Args:
        model: A timm name; a tag after a dot picks pretrained weights and with them the normalisation.
        input_px: Side of the square input; models with position embeddings are built for it.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth.

    Raises:
        ParamsError: timm knows no such model (the closest names are given), or it takes no such argument.
    """
    require_known(model)
    options: dict[str, float] = {"drop_rate": drop_rate, "num_classes": NUM_GRADES}
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    try:  # position embeddings are made for one input size; networks without them refuse the argument
        backbone = timm.create_model(model, pretrained=False, img_size=input_px, **options)
    except TypeError:
        backbone = timm.create_model(model, pretrained=False, **options)
    return Grader(backbone, normalisation(model))


def normalisation(model: str) -> Normalisation:
    """Mean and standard deviation that timm's weights of `model` were trained with."""
    config = get_pretrained_cfg(model)
    if config is None:  # timm has an architecture without a configuration: its own default
        return Normalisation(timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)
    return Normalisation(tuple(config.mean), tuple(config.std))


def family(model: str) -> str:
    """The family by which deployment is allowed: `efficientnet`, or the name's first part, such as `vit`."""
    name = model.split(".")[0].removeprefix("tf_").removeprefix("gc_")
    if name.startswith("efficientnet"):
        return "efficientnet"
    return re.sub(r"v?\d+[a-z]*$", "", name.split("_")[0])


def require_known(model: str) -> None:
    """Raises ParamsError, with the closest names, where timm knows no such model."""
    architecture = model.split(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.4)
        raise ParamsError(f"timm knows no model {model!r}", todo=f"closest: {', '.join(near) or 'none'}")


def num_parameters(module: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in module.parameters())
