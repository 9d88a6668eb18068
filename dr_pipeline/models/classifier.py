"""The classifier of a timm network: found by timm's own name for it, given a hidden layer, initialised."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.losses.loss import Head

# Features per hidden unit: the 1280 features of EfficientNet-B0 get 640 hidden units.
_REDUCTION = 2


def classifier_names(backbone: nn.Module) -> tuple[str, ...]:
    """Timm's names of the classifier's layers. A head may contain more than the classifier (ConvNeXt's: a norm)."""
    names = cast("dict[str, Any]", backbone.pretrained_cfg)["classifier"]
    return (names,) if isinstance(names, str) else tuple(names)


def classifier_prefixes(backbone: nn.Module) -> tuple[str, ...]:
    """Prefixes of the classifier's tensors in the state dict."""
    return tuple(f"{name}." for name in classifier_names(backbone))


def add_hidden_layer(backbone: nn.Module, *, model: str, drop_rate: float) -> None:
    """Replaces the linear classifier by linear → ReLU → dropout → linear, in place.

    Args:
        backbone: A timm network.
        model: Its name, for messages.
        drop_rate: Dropout after the hidden layer.

    Raises:
        ParamsError: The classifier is not one linear layer.
    """
    names = classifier_names(backbone)
    last = backbone.get_submodule(names[0])
    if len(names) != 1 or not isinstance(last, nn.Linear):
        raise ParamsError(
            f"the classifier of {model} is not one linear layer, but {len(names)} × {type(last).__name__}",
            todo="set network.head: linear",
        )
    hidden = max(last.in_features // _REDUCTION, 1)
    parent, _, leaf = names[0].rpartition(".")
    layers = (
        nn.Linear(last.in_features, hidden),
        nn.ReLU(),
        nn.Dropout(drop_rate),
        nn.Linear(hidden, last.out_features),
    )
    setattr(backbone.get_submodule(parent), leaf, nn.Sequential(*layers))


@torch.no_grad()
def init_classifier(backbone: nn.Module, head: Head, grades: Sequence[int]) -> None:
    """Initialises the output layer of an untrained grader, in place: weights 0, biases from the class prior.

    Zero weights follow BiT and ViT (Kolesnikov et al., ECCV 2020; Dosovitskiy et al., ICLR 2021): short fine-tuning
    converges faster. timm draws EfficientNet's weights within 1/√outputs, meant for a thousand classes; on published
    features the five logits of EfficientNet-Lite0 then have a standard deviation of three to six.

    Biases are 0 if each grade or step has an output of its own. Other heads start at the class prior (Lin et al., ICCV
    2017, section 4.1): see `Head.initialise`. Class weights do not enter it.

    Args:
        backbone: Call before loading weights, so that the classifier of a bundle is not overwritten.
        head: Of the same grader.
        grades: Of the training photographs; with none the class prior is left out.
    """
    bias = head.initialise(grades) if grades else 0.0
    for layer in _output_layers(backbone):
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, bias)


def _output_layers(backbone: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """The last layer of each classifier; distilled networks have two and average them."""
    for name in classifier_names(backbone):
        classifier = backbone.get_submodule(name).modules()
        yield from [layer for layer in classifier if isinstance(layer, nn.Linear | nn.Conv2d)][-1:]
