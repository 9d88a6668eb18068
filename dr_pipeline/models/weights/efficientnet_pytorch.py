"""Names of EfficientNet-PyTorch's state dicts → timm's names of the same network. Pure.

EfficientNet-PyTorch counts its blocks through (`_blocks.3._expand_conv`), timm counts them by stage
(`blocks.2.0.conv_pw`). Sources: github.com/lukemelas/EfficientNet-PyTorch, model.py; timm, _efficientnet_blocks.py.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SQUEEZE_EXCITE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
# A block without expansion, as in the first stage: depthwise, then pointwise.
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"} | _SQUEEZE_EXCITE
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
} | _SQUEEZE_EXCITE
_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.")  # stage, index in it


def has_efficientnet_pytorch_names(names: Iterable[str]) -> bool:
    """Whether these are the names of an EfficientNet-PyTorch state dict, all of which begin with an underscore."""
    names = set(names)
    return "_conv_stem.weight" in names and all(name.startswith("_") for name in names)


def rename_efficientnet_pytorch(tensors: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """Tensors by timm's names; a name without counterpart is kept.

    Args:
        tensors: By EfficientNet-PyTorch's names.
        own: Names of timm's network.
    """
    own = set(own)
    places = sorted({(int(match[1]), int(match[2])) for match in map(_BLOCK.match, own) if match})
    blocks = [
        (f"blocks.{stage}.{index}.", _INVERTED if f"blocks.{stage}.{index}.conv_pwl.weight" in own else _SEPARABLE)
        for stage, index in places
    ]
    return {_renamed(name, blocks): tensor for name, tensor in tensors.items()}


def _renamed(name: str, blocks: list[tuple[str, dict[str, str]]]) -> str:
    parts = name.split(".")
    prefix, layers = "", _OUTSIDE_BLOCKS
    if parts[0] == "_blocks" and len(parts) > 2 and parts[1].isdecimal() and int(parts[1]) < len(blocks):
        prefix, layers = blocks[int(parts[1])]
        parts = parts[2:]
    return ".".join([prefix + layers[parts[0]], *parts[1:]]) if parts[0] in layers else name
