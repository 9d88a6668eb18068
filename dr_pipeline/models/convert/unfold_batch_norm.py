"""Restores batch normalisation that an exporter folded into the preceding convolution."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def unfold_batch_norm(
    tensors: Mapping[str, Tensor], backbone: nn.Module, *, input_px: int
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Adds the batch normalisation that the network has and the file lacks.

    Folding leaves kernel · γ/√(σ² + ε) and a bias. The same function is that kernel, followed by a normalisation with
    mean 0, σ² + ε = 1, γ = 1 and the bias as β (inverse of Jacob et al. 2018, arXiv:1712.05877, section 3.2).

    Args:
        tensors: By the network's names.
        backbone: A timm network; not changed.
        input_px: Side of an input that it takes.

    Returns:
        The tensors, unchanged if nothing was folded, and notes on the changes.
    """
    own = set(backbone.state_dict())
    result = dict(tensors)
    count = 0
    for convolution, (name, norm) in _normalised_convolutions(backbone, input_px).items():
        bias_name = f"{convolution}.bias"
        if bias_name not in result or bias_name in own or f"{name}.running_var" in result:
            continue
        bias = result.pop(bias_name)
        ones = torch.ones_like(bias)
        result |= {f"{name}.weight": ones, f"{name}.bias": bias, f"{name}.running_mean": torch.zeros_like(bias)}
        result[f"{name}.running_var"] = ones - norm.eps
        count += 1
    return result, (f"{count} batch normalisations taken out of their convolutions",) if count else ()


def _normalised_convolutions(backbone: nn.Module, input_px: int) -> dict[str, tuple[str, _BatchNorm]]:
    """Convolution → the batch normalisation that reads its output, found by running the network on zeros."""
    names = {layer: name for name, layer in backbone.named_modules()}
    producers: dict[int, str] = {}
    outputs: list[Tensor] = []  # kept alive, so that no id is reused
    pairs: dict[str, tuple[str, _BatchNorm]] = {}

    def record_output(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)
        producers[id(output)] = names[layer]

    def record_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in producers and isinstance(layer, _BatchNorm):
            pairs[producers[id(inputs[0])]] = (names[layer], layer)

    hooks = [
        *(layer.register_forward_hook(record_output) for layer in names if isinstance(layer, nn.Conv2d)),
        *(layer.register_forward_pre_hook(record_input) for layer in names if isinstance(layer, _BatchNorm)),
    ]
    was_training = backbone.training
    try:
        with torch.inference_mode():
            backbone.eval()(torch.zeros(1, 3, input_px, input_px))
    finally:
        backbone.train(was_training)
        for hook in hooks:
            hook.remove()
    return pairs
