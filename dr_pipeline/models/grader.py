"""Makes a grader from a timm name: backbone, its own normalisation inside, five logits out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import timm
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.channels import RGB, Planes, statistics
from dr_pipeline.models.classifier import give_hidden_layer
from dr_pipeline.models.losses import loss_class
from dr_pipeline.models.losses.loss import Head
from dr_pipeline.models.norms import swap_norms
from dr_pipeline.models.timm_names import known_config
from dr_pipeline.params.candidate import Channel, Network

PLAIN = Network(channels=RGB, norm="own", head="linear")


@dataclass(frozen=True)
class Normalisation:
    """What a backbone's weights expect of planes in 0 … 1, one number for each; travels with the weights."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        """For messages: `mean 0.5/0.5/0.5, std 0.5/0.5/0.5`."""
        mean, std = ("/".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean}, std {std}"


class Grader(nn.Module):
    """A network from pixels as they are stored to logits of the five grades.

    Choice of planes and normalisation are part of the graph, so that training, export and scoring cannot differ in
    them.

    Attributes:
        channels: The planes that the backbone sees.
        backbone: The timm network, whose outputs the loss works on.
        head: Outputs → logits of the five grades.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, head: Head, channels: Sequence[Channel], norm: Normalisation, *, input_px: int
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.planes = Planes(self.channels, input_px=input_px)
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", torch.tensor(norm.mean).mul(255).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(norm.std).mul(255).view(1, -1, 1, 1), persistent=False)

    def normalised(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) → what the backbone sees, (N, channels, H, W)."""
        # permute of NHWC is channels_last already: no copy before the cast
        pixels = image.permute(0, 3, 1, 2).to(self.mean.dtype)
        return cast("Tensor", (self.planes(pixels) - self.mean).div_(self.std))

    def outputs(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) → what the loss works on, (N, num_outputs)."""
        return cast("Tensor", self.backbone(self.normalised(image)))

    def forward(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) → logits (N, 5)."""
        return cast("Tensor", self.head(self.outputs(image)))


def create_grader(
    model: str,
    *,
    input_px: int,
    drop_rate: float,
    drop_path_rate: float,
    network: Network | None = None,
    loss: str = "cross_entropy",
) -> Grader:
    """An untrained grader on the timm backbone `model`.

    Args:
        model: A timm name; a tag after a dot picks pretrained weights and with them the normalisation.
        input_px: Side of the square input; models with position embeddings are built for it.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth.
        network: Planes, normalisation layers and classifier; None changes nothing of timm's network.
        loss: Name of the training loss, which defines the number of outputs and the head.

    Raises:
        ParamsError: timm knows no such model or tag of it (the closest names are given), it has no classifier, cannot
            take this input or takes no such argument, or what `network` asks for cannot be done to it.
    """
    if not known_config(model).classifier:
        raise ParamsError(
            f"{model} has no classifier: it encodes pictures for a language model",
            todo="choose a model of which `dr-pipeline models show` names the classifier",
        )
    wanted, objective = network or PLAIN, loss_class(loss)
    options: dict[str, float] = {"drop_rate": drop_rate, "num_classes": objective.num_outputs}
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    if len(wanted.channels) != len(RGB):
        options["in_chans"] = len(wanted.channels)
    _require_runnable(model, input_px, num_planes=len(wanted.channels), num_classes=objective.num_outputs)
    backbone = _backbone(model, input_px, options)
    if wanted.norm != "own":
        swap_norms(backbone, wanted.norm, model=model)
    if wanted.head == "mlp":
        give_hidden_layer(backbone, model=model, drop_rate=drop_rate)
    norm = normalisation(model, wanted.channels)
    return Grader(backbone, objective.make_head(), wanted.channels, norm, input_px=input_px)


def _backbone(model: str, input_px: int, options: Mapping[str, float]) -> nn.Module:
    try:  # position embeddings are made for one input size; networks without them refuse the argument
        return cast("nn.Module", timm.create_model(model, pretrained=False, img_size=input_px, **options))
    except TypeError:
        pass
    try:
        return cast("nn.Module", timm.create_model(model, pretrained=False, **options))
    except TypeError as error:
        raise ParamsError(
            f"{model} takes no such argument: {error}",
            todo="set drop_path_rate: 0.0, or network.channels to three planes",
        ) from None


@cache  # a fold trains several graders of one kind
def _require_runnable(model: str, input_px: int, *, num_planes: int, num_classes: int) -> None:
    """Runs such a network on the meta device: most of timm's say only there that they cannot take an input."""
    options = {"num_classes": num_classes} | ({} if num_planes == len(RGB) else {"in_chans": num_planes})
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
            outputs = _backbone(model, input_px, options).eval()(torch.empty(1, num_planes, input_px, input_px))
    except NotImplementedError:  # an operation without a form for the meta device says nothing of the input
        return
    except (AssertionError, RuntimeError, ValueError) as error:  # timm has no type of its own
        said = str(error).partition("\n")[0] or type(error).__name__
        expected = known_config(model).input_size[1]
        raise ParamsError(
            f"{model} cannot be run at {input_px} px: {said}",
            todo=f"take the {expected} px that its weights expect; most networks take multiples of 32 too",
        ) from error
    if tuple(outputs.shape) != (1, num_classes):
        raise ParamsError(
            f"{model} is no classifier: of one photograph it gives {tuple(outputs.shape)}, not {num_classes} numbers",
            todo="choose another model with `dr-pipeline models list`",
        )


def grader_of(spec: Mapping[str, Any]) -> Grader:
    """The untrained grader that a model.json describes; without dropout, which has no weights.

    Args:
        spec: With at least `model`, `input_px`, `network` and `loss`.

    Raises:
        DataError: An entry is missing or malformed.
        ParamsError: timm knows no such model.
    """
    try:
        return create_grader(
            spec["model"],
            input_px=spec["input_px"],
            drop_rate=0.0,
            drop_path_rate=0.0,
            network=Network.model_validate(spec["network"], strict=False),  # JSON has lists for tuples
            loss=spec["loss"],
        )
    except (KeyError, ValidationError) as error:
        raise DataError(
            f"model.json does not describe a network: {type(error).__name__}: {error}",
            todo="remake it with `dvc repro train`",
        ) from None


def normalisation(model: str, channels: Sequence[Channel] = RGB) -> Normalisation:
    """Mean and standard deviation that timm's weights of `model` were trained with, for each plane.

    Raises:
        ParamsError: timm knows no such model.
    """
    config = known_config(model)
    return Normalisation(*statistics(channels, config.mean, config.std))


def family(model: str) -> str:
    """The family by which deployment is allowed: `efficientnet`, or the name's first part, such as `vit`."""
    name = model.split(".")[0].removeprefix("tf_").removeprefix("gc_")
    if name.startswith("efficientnet"):
        return "efficientnet"
    return re.sub(r"v?\d+[a-z]*$", "", name.split("_")[0])


def num_parameters(module: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in module.parameters())
