"""Normalisation layers exchanged for another kind, in place; the activations fused with them stay."""

import math
from typing import Literal, cast

from timm.layers import (
    BatchNormAct2d,
    GroupNorm,
    GroupNormAct,
    LayerNorm2d,
    LayerNormAct2d,
)
from torch import Tensor, nn

from dr_pipeline.errors import ParamsError

Kind = Literal["batch", "group", "layer"]
# Wu and He 2018 (arXiv:1803.08494): 32 groups; here the largest power of two up to 32 that divides the channels.
MAX_GROUPS = 32
# Batches too small for batch normalisation are what group normalisation is for: it sees one photograph at a time.
_MAPS = {
    "batch": (nn.BatchNorm2d,),
    "group": (nn.GroupNorm,),
    "layer": (LayerNorm2d, LayerNormAct2d),
}


def swap_norms(backbone: nn.Module, kind: Kind, *, model: str) -> int:
    """Exchanges every normalisation of feature maps for `kind`; scale, bias, activation and dropout are kept.

    `layer` normalises the channels of each position, as ConvNeXt does.

    Args:
        backbone: A timm network; changed in place.
        kind: The kind wanted.
        model: Its name, for messages.

    Returns:
        How many layers were exchanged; those that are of the kind already stay.

    Raises:
        ParamsError: A layer normalises something else than feature maps (tokens), or there is none.
    """
    found = {name: layer for name, layer in backbone.named_modules() if _normalises(layer)}
    if not found:
        raise ParamsError(f"{model} has no normalisation layers", todo="set network.norm: own")
    kept = [name for name, layer in found.items() if _is(layer, kind)]
    if fixed := [name for name, layer in found.items() if name not in kept and not _is_of_maps(layer)]:
        raise ParamsError(
            f"{len(fixed)} normalisation layers of {model} work on tokens or are of a kind that has no {kind} form "
            f"(first: {fixed[0]}, {type(found[fixed[0]]).__name__})",
            todo="set network.norm: own, or choose a convolutional network",
        )
    for name in found.keys() - set(kept):
        parent, _, leaf = name.rpartition(".")
        setattr(backbone.get_submodule(parent), leaf, _exchanged(found[name], kind))
    return len(found) - len(kept)


def _normalises(layer: nn.Module) -> bool:
    """By its name: timm and torch have a dozen classes without a common base. Wrappers hold one and are none."""
    inside = (type(part).__name__ for part in layer.modules() if part is not layer)
    return "Norm" in type(layer).__name__ and not any("Norm" in name for name in inside)


def _is(layer: nn.Module, kind: Kind) -> bool:
    return isinstance(layer, (*_MAPS[kind], nn.LayerNorm) if kind == "layer" else _MAPS[kind])


def _is_of_maps(layer: nn.Module) -> bool:
    return any(isinstance(layer, classes) for classes in _MAPS.values())


def _exchanged(layer: nn.Module, kind: Kind) -> nn.Module:
    channels = len(cast("Tensor", layer.weight))
    fused = hasattr(layer, "act")
    made: nn.Module
    if kind == "batch":
        made = BatchNormAct2d(channels) if fused else nn.BatchNorm2d(channels)
    elif kind == "group":
        groups = math.gcd(channels, MAX_GROUPS)
        made = GroupNormAct(channels, num_groups=groups) if fused else GroupNorm(channels, num_groups=groups)
    else:
        made = LayerNormAct2d(channels) if fused else LayerNorm2d(channels)
    made.weight, made.bias = layer.weight, layer.bias  # a block's last scale may begin at zero
    if fused:
        made.drop, made.act = layer.drop, layer.act
    return made
