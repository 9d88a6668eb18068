"""The grader: a timm backbone with its input normalisation inside and the logits of the five grades as output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import timm
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.channels import RGB, InputChannels, channel_statistics
from dr_pipeline.models.classifier import add_hidden_layer
from dr_pipeline.models.losses import loss_class
from dr_pipeline.models.losses.loss import Head
from dr_pipeline.models.norms import replace_norms
from dr_pipeline.models.timm_catalogue import timm_config
from dr_pipeline.params.candidate import Channel, Network

UNMODIFIED = Network(channels=RGB, norm="own", head="linear")


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, for values in 0 … 1, as a backbone's weights expect them."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        """For messages: `mean 0.5/0.5/0.5, std 0.5/0.5/0.5`."""
        mean, std = ("/".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean}, std {std}"


class Grader(nn.Module):
    """A network from stored pixels, uint8 RGB, to logits of the five grades.

    Channel selection and normalisation are part of the graph, so training, export and scoring cannot differ in them.

    Attributes:
        channels: Input channels of the backbone.
        backbone: The timm network; the loss is computed on its outputs.
        head: Outputs → logits of the five grades.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, head: Head, channels: Sequence[Channel], norm: Normalisation, *, input_px: int
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.select_channels = InputChannels(self.channels, input_px=input_px)
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", torch.tensor(norm.mean).mul(255).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(norm.std).mul(255).view(1, -1, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) → input of the backbone, (N, channels, H, W)."""
        # permute of NHWC is channels_last already: no copy before the cast
        pixels = image.permute(0, 3, 1, 2).to(self.mean.dtype)
        return cast("Tensor", (self.select_channels(pixels) - self.mean).div_(self.std))

    def features(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) → pooled features, the input of the classifier, (N, D)."""
        backbone = cast("Any", self.backbone)  # timm's own methods
        return cast("Tensor", backbone.forward_head(backbone.forward_features(self.normalise(image)), pre_logits=True))

    def outputs(self, image: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) → outputs of the backbone, which the loss is computed on, (N, num_outputs)."""
        return cast("Tensor", self.backbone(self.normalise(image)))

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
    """Creates an untrained grader on the timm backbone `model`.

    Args:
        model: A timm name; a tag after a dot selects pretrained weights and with them the normalisation.
        input_px: Side of the square input; models with position embeddings are built for it.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth.
        network: Channels, normalisation layers and classifier; None leaves timm's network unmodified.
        loss: Name of the training loss, which defines the number of outputs and the head.

    Raises:
        ParamsError: timm has no such model or tag (the closest names are given), or the model has no classifier,
            cannot take this input, does not support an argument, or cannot be changed as `network` requires.
    """
    if not timm_config(model).classifier:
        raise ParamsError(
            f"{model} has no classifier: it is an image encoder for a language model",
            todo="choose a model of which `dr-pipeline models show` names the classifier",
        )
    network, objective = network or UNMODIFIED, loss_class(loss)
    options: dict[str, float] = {"drop_rate": drop_rate, "num_classes": objective.num_outputs}
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    if len(network.channels) != len(RGB):
        options["in_chans"] = len(network.channels)
    _require_runnable(model, input_px, num_channels=len(network.channels), num_classes=objective.num_outputs)
    backbone = _backbone(model, input_px, options)
    if network.norm != "own":
        replace_norms(backbone, network.norm, model=model)
    if network.head == "mlp":
        add_hidden_layer(backbone, model=model, drop_rate=drop_rate)
    norm = normalisation(model, network.channels)
    return Grader(backbone, objective.make_head(), network.channels, norm, input_px=input_px)


def _backbone(model: str, input_px: int, options: Mapping[str, float]) -> nn.Module:
    try:  # position embeddings are created for one input size; networks without them reject the argument
        return cast("nn.Module", timm.create_model(model, pretrained=False, img_size=input_px, **options))
    except TypeError:
        pass
    try:
        return cast("nn.Module", timm.create_model(model, pretrained=False, **options))
    except TypeError as error:
        raise ParamsError(
            f"{model} does not support an argument: {error}",
            todo="set drop_path_rate: 0.0, or network.channels to three channels",
        ) from None


@cache  # a fold trains several graders of the same configuration
def _require_runnable(model: str, input_px: int, *, num_channels: int, num_classes: int) -> None:
    """Runs the network on the meta device: most of timm's models reject an input size only in `forward`."""
    options = {"num_classes": num_classes} | ({} if num_channels == len(RGB) else {"in_chans": num_channels})
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
            outputs = _backbone(model, input_px, options).eval()(torch.empty(1, num_channels, input_px, input_px))
    except NotImplementedError:  # an operation without a meta implementation: not the input
        return
    except (AssertionError, RuntimeError, ValueError) as error:  # timm has no exception type of its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        expected = timm_config(model).input_size[1]
        raise ParamsError(
            f"{model} cannot be run at {input_px} px: {reason}",
            todo=f"use the {expected} px that its weights expect; most networks also take multiples of 32",
        ) from error
    if tuple(outputs.shape) != (1, num_classes):
        raise ParamsError(
            f"{model} is not a classifier: its output for one photograph has shape {tuple(outputs.shape)}, "
            f"not (1, {num_classes})",
            todo="choose another model with `dr-pipeline models list`",
        )


def grader_from_spec(spec: Mapping[str, Any]) -> Grader:
    """Creates the untrained grader that a model.json describes, without dropout.

    Args:
        spec: With at least `model`, `input_px`, `network` and `loss`.

    Raises:
        DataError: An entry is missing or malformed.
        ParamsError: timm has no such model.
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
            todo="run `dvc repro train`",
        ) from None


def normalisation(model: str, channels: Sequence[Channel] = RGB) -> Normalisation:
    """Mean and standard deviation of each channel with which timm's weights of `model` were trained.

    Raises:
        ParamsError: timm has no such model.
    """
    config = timm_config(model)
    return Normalisation(*channel_statistics(channels, config.mean, config.std))


def num_parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
