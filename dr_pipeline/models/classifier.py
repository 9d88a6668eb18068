"""The last layer of a timm network: found by timm's own name for it, and given a hidden layer where asked."""

from typing import Any, cast

from torch import nn

from dr_pipeline.errors import ParamsError

# The hidden layer has half as many units as there are features: EfficientNet-B0's 1280 become 640.
FEATURES_PER_UNIT = 2


def classifier_names(backbone: nn.Module) -> tuple[str, ...]:
    """What timm itself calls the classifier of this network; a head may hold more than it (ConvNeXt's: a norm)."""
    named = cast("dict[str, Any]", backbone.pretrained_cfg)["classifier"]
    return (named,) if isinstance(named, str) else tuple(named)


def classifier_prefixes(backbone: nn.Module) -> tuple[str, ...]:
    """How the names of the classifier's tensors begin."""
    return tuple(f"{name}." for name in classifier_names(backbone))


def give_hidden_layer(backbone: nn.Module, *, model: str, drop_rate: float) -> None:
    """Puts linear → ReLU → dropout → linear where the network has its linear classifier.

    Args:
        backbone: A timm network; changed in place.
        model: Its name, for messages.
        drop_rate: Dropout behind the hidden layer, as the network has it before.

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
    hidden = max(last.in_features // FEATURES_PER_UNIT, 1)
    parent, _, leaf = names[0].rpartition(".")
    layers = (
        nn.Linear(last.in_features, hidden),
        nn.ReLU(),
        nn.Dropout(drop_rate),
        nn.Linear(hidden, last.out_features),
    )
    setattr(backbone.get_submodule(parent), leaf, nn.Sequential(*layers))
