"""Resamples position embeddings for another input size with timm's own functions."""

import math
from typing import cast

from timm.layers import resample_abs_pos_embed, resample_abs_pos_embed_nhwc, resize_rel_pos_bias_table
from torch import Tensor, nn

# Parts of such names in timm: absolute (ViT, PiT, NesT, CrossViT), relative (Swin, BoTNet, MViTv2, LambdaNet) and
# LeViT's table of biases.
_POSITIONAL = ("pos_emb", "rel_pos", "relative_position", "attention_biases")


def resample_position_embedding(name: str, tensor: Tensor, backbone: nn.Module) -> Tensor | None:
    """Resamples a tensor of a checkpoint to the grid or window of a network.

    Supports absolute embeddings (`pos_embed`: ViT, DeiT, EVA, Hiera, hybrids; as NHWC: SAM, VOLO) and relative bias
    tables (`relative_position_bias_table`: Swin, BEiT, MaxViT, GC ViT). The source's grid is assumed to be
    square, as in timm.

    Args:
        name: The tensor's name in `backbone`.
        tensor: As stored, (1, tokens, channels), (1, height, width, channels) or (offsets, heads).
        backbone: A timm network built for the new input size.

    Returns:
        A tensor of the network's shape; None if this is no position embedding or no grid explains its shape.
    """
    own = backbone.state_dict()[name]
    owner, _, leaf = name.rpartition(".")
    if leaf == "relative_position_bias_table":
        return _relative(tensor, own, getattr(backbone.get_submodule(owner), "window_size", None))
    if leaf != "pos_embed" or tensor.ndim != own.ndim or tensor.shape[-1] != own.shape[-1]:
        return None
    if own.ndim == 4 and own.shape[1] == own.shape[2] and tensor.shape[1] == tensor.shape[2]:
        return cast("Tensor", resample_abs_pos_embed_nhwc(tensor, new_size=list(own.shape[1:3])))
    if own.ndim != 3:
        return None
    grid = _grid(backbone, own.shape[1])
    # tokens without a position on the grid (class, registers): the remainder of the network's own embedding
    prefix = own.shape[1] - math.prod(grid)
    if prefix < 0 or not _square(tensor.shape[1] - prefix):
        return None
    return cast("Tensor", resample_abs_pos_embed(tensor, new_size=list(grid), num_prefix_tokens=prefix))


def is_positional(name: str) -> bool:
    """Whether, by its name, a tensor's shape depends on the input size, supported above or not."""
    return any(part in name for part in _POSITIONAL)


def _grid(backbone: nn.Module, tokens: int) -> tuple[int, int]:
    """Rows and columns of patches: as the network declares, or (Hiera) of the largest square of tokens."""
    declared = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    return declared or (math.isqrt(tokens), math.isqrt(tokens))


def _relative(table: Tensor, own: Tensor, window: tuple[int, int] | None) -> Tensor | None:
    if window is None or table.ndim != 2 or table.shape[1:] != own.shape[1:]:
        return None
    extra = own.shape[0] - math.prod(2 * side - 1 for side in window)  # BEiT's three offsets of the class token
    if extra < 0 or not _square(table.shape[0] - extra):
        return None
    return cast("Tensor", resize_rel_pos_bias_table(table, new_window_size=window, new_bias_shape=tuple(own.shape)))


def _square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number
