"""Replaces or synchronises normalisation layers, in place; the activations fused with them are kept."""

import math
from typing import Literal, TypeVar, cast

from timm.layers import (
    BatchNormAct2d,
    GroupNorm,
    GroupNormAct,
    LayerNorm2d,
    LayerNormAct2d,
    convert_sync_batchnorm,
)
from torch import Tensor, nn

from dr_pipeline.errors import ParamsError

Network = TypeVar("Network", bound=nn.Module)
NormKind = Literal["batch", "group", "layer"]
# Wu and He 2018 (arXiv:1803.08494) use 32 groups; here the largest power of two up to 32 that divides the channels.
MAX_GROUPS = 32
_CLASSES = {
    "batch": (nn.BatchNorm2d,),
    "group": (nn.GroupNorm,),
    "layer": (LayerNorm2d, LayerNormAct2d),
}


def replace_norms(backbone: nn.Module, kind: NormKind, *, model: str) -> int:
    """Replaces every normalisation of feature maps by `kind`; scale, bias, activation and dropout are kept.

    `group` suits batches that are too small for batch statistics; `layer` normalises the channels of each position, as
    in ConvNeXt.

    Args:
        backbone: A timm network; changed in place.
        kind: The new kind.
        model: Its name, for messages.

    Returns:
        The number of replaced layers; layers of this kind already are left alone.

    Raises:
        ParamsError: A layer normalises something other than feature maps (tokens), or there is none.
    """
    norms = {name: layer for name, layer in backbone.named_modules() if _is_norm(layer)}
    if not norms:
        raise ParamsError(f"{model} has no normalisation layers", todo="set network.norm: own")
    to_replace = {name: layer for name, layer in norms.items() if not _has_kind(layer, kind)}
    if fixed := [name for name, layer in to_replace.items() if not _is_2d(layer)]:
        raise ParamsError(
            f"{len(fixed)} normalisation layers of {model} work on tokens or are of a kind that has no {kind} form "
            f"(first: {fixed[0]}, {type(norms[fixed[0]]).__name__})",
            todo="set network.norm: own, or choose a convolutional network",
        )
    for name, layer in to_replace.items():
        parent, _, leaf = name.rpartition(".")
        setattr(backbone.get_submodule(parent), leaf, _replacement(layer, kind))
    return len(to_replace)


def sync_batch_norm(network: Network) -> Network:
    """Makes every BatchNorm compute its statistics over the whole batch across processes.

    Uses timm's converter: torch's would drop the activation that timm's BatchNormAct2d contains. State-dict names are
    unchanged.
    """
    return cast("Network", convert_sync_batchnorm(network))


def _is_norm(layer: nn.Module) -> bool:
    """By class name: timm's and torch's dozen classes share no base. Wrappers contain a norm and are none."""
    inside = (type(part).__name__ for part in layer.modules() if part is not layer)
    return "Norm" in type(layer).__name__ and not any("Norm" in name for name in inside)


def _has_kind(layer: nn.Module, kind: NormKind) -> bool:
    return isinstance(layer, (*_CLASSES[kind], nn.LayerNorm) if kind == "layer" else _CLASSES[kind])


def _is_2d(layer: nn.Module) -> bool:
    return any(isinstance(layer, classes) for classes in _CLASSES.values())


def _replacement(layer: nn.Module, kind: NormKind) -> nn.Module:
    channels = len(cast("Tensor", layer.weight))
    has_activation = hasattr(layer, "act")
    norm: nn.Module
    if kind == "batch":
        norm = BatchNormAct2d(channels) if has_activation else nn.BatchNorm2d(channels)
    elif kind == "group":
        groups = math.gcd(channels, MAX_GROUPS)
        norm = GroupNormAct(channels, num_groups=groups) if has_activation else GroupNorm(channels, num_groups=groups)
    else:
        norm = LayerNormAct2d(channels) if has_activation else LayerNorm2d(channels)
    norm.weight, norm.bias = layer.weight, layer.bias  # a block's last scale may be zero-initialised
    if has_activation:
        norm.drop, norm.act = layer.drop, layer.act
    return norm
