"""Batch normalisation that an exporter folded into the convolution before it, taken out again."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def unfolded(
    tensors: Mapping[str, Tensor], backbone: nn.Module, *, input_px: int
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Named tensors with the batch normalisation that the network has and the file lacks.

    Folding leaves kernel · γ/√(σ² + ε) and a bias. The same function is that kernel, followed by a normalisation with
    mean 0, σ² + ε = 1, γ = 1 and the bias as β (inverse of Jacob et al. 2018, arXiv:1712.05877, section 3.2).

    Args:
        tensors: By the network's names.
        backbone: A timm network; not changed.
        input_px: Side of an input that it takes.

    Returns:
        The tensors, and what there is to note. Where nothing was folded they are the same.
    """
    own = set(backbone.state_dict())
    made = dict(tensors)
    count = 0
    for convolution, (name, norm) in _pairs(backbone, input_px).items():
        bias = f"{convolution}.bias"
        if bias not in made or bias in own or f"{name}.running_var" in made:
            continue
        shift = made.pop(bias)
        ones = torch.ones_like(shift)
        made |= {f"{name}.weight": ones, f"{name}.bias": shift, f"{name}.running_mean": torch.zeros_like(shift)}
        made[f"{name}.running_var"] = ones - norm.eps
        count += 1
    return made, (f"{count} batch normalisations taken out of their convolutions",) if count else ()


def _pairs(backbone: nn.Module, input_px: int) -> dict[str, tuple[str, _BatchNorm]]:
    """Convolution → the batch normalisation that reads its output, found by running the network on nothing."""
    names = {layer: name for name, layer in backbone.named_modules()}
    made_by: dict[int, str] = {}
    kept: list[Tensor] = []  # so that no address is given out twice
    found: dict[str, tuple[str, _BatchNorm]] = {}

    def note_output(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        kept.append(output)
        made_by[id(output)] = names[layer]

    def note_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in made_by and isinstance(layer, _BatchNorm):
            found[made_by[id(inputs[0])]] = (names[layer], layer)

    hooks = [
        *(layer.register_forward_hook(note_output) for layer in names if isinstance(layer, nn.Conv2d)),
        *(layer.register_forward_pre_hook(note_input) for layer in names if isinstance(layer, _BatchNorm)),
    ]
    was_training = backbone.training
    try:
        with torch.inference_mode():
            backbone.eval()(torch.zeros(1, 3, input_px, input_px))
    finally:
        backbone.train(was_training)
        for hook in hooks:
            hook.remove()
    return found
