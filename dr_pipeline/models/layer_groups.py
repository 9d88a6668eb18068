"""Layers by their depth: how fast each learns, from which epoch on, and which are computed twice to save memory."""

import fnmatch
from typing import Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.grader import Grader
from dr_pipeline.params.candidate import FineTuning


def distances(grader: Grader) -> dict[str, int]:
    """How many blocks each parameter lies from the classifier, which is 0; blocks are timm's own.

    Returns:
        A parameter's name in `grader` → its distance.

    Raises:
        ParamsError: timm does not say what this network's blocks are.
    """
    backbone: Any = grader.backbone  # timm's own methods
    if not hasattr(backbone, "group_matcher"):
        raise ParamsError(
            f"timm names no blocks of {type(backbone).__name__}",
            todo="set fine_tuning: {layer_decay: 1.0, frozen_epochs: 0, thaw_epochs: 0}",
        )
    depths: dict[str, int] = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    last = classifier_prefixes(backbone)
    body = sorted({depth for name, depth in depths.items() if not name.startswith(last)}, reverse=True)
    # what timm groups with the classifier, such as a norm before it, learns with it
    with_classifier = {depth for name, depth in depths.items() if name.startswith(last)}
    ranks = {depth: rank for rank, depth in enumerate((d for d in body if d not in with_classifier), start=1)}
    found = {f"backbone.{name}": ranks.get(depth, 0) for name, depth in depths.items()}
    return {name: found.get(name, 0) for name, _ in grader.named_parameters()}


def parameter_groups(
    grader: Grader, *, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: every parameter once, those frozen at present too.

    No weight decay for biases, normalisation and what the network itself exempts, such as position embeddings and class
    tokens, as in timm's training script. The learning rate falls by
    `layer_decay` with each block away from the classifier (Bao et al. 2022, BEiT).

    Args:
        grader: The network.
        learning_rate: Of the classifier.
        weight_decay: Of all other parameters, which are matrices and kernels.
        layer_decay: 1.0 gives two groups, decayed and not decayed.

    Raises:
        ParamsError: The rate is to fall by blocks, and timm does not say what this network's blocks are.
    """
    away = distances(grader) if layer_decay != 1.0 else {}
    exempt = _exempt_from_decay(grader)
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for name, parameter in grader.named_parameters():
        plain = parameter.ndim <= 1 or name.endswith(".bias") or name in exempt
        groups.setdefault((away.get(name, 0), plain), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": learning_rate * layer_decay**distance,
            "weight_decay": 0.0 if plain else weight_decay,
        }
        for (distance, plain), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _exempt_from_decay(grader: Grader) -> set[str]:
    """Names in `grader` of the parameters that timm's network says are not to decay, whatever their shape."""
    backbone: Any = grader.backbone  # timm's own methods
    patterns = backbone.no_weight_decay() if hasattr(backbone, "no_weight_decay") else ()
    return {
        f"backbone.{name}"
        for name, _ in backbone.named_parameters()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def thaw(grader: Grader, *, epoch: int, fine_tuning: FineTuning) -> None:
    """Sets which blocks learn in an epoch: the classifier always, the others from the last to the first.

    Args:
        grader: The network; changed in place.
        epoch: From 0.
        fine_tuning: For `frozen_epochs` the classifier learns alone; in the k-th of the `thaw_epochs` after, the last
            k / thaw_epochs of the blocks do, rounded up.

    Raises:
        ParamsError: Blocks are to be frozen, and timm does not say what this network's blocks are.
    """
    if epoch >= fine_tuning.frozen_epochs + fine_tuning.thaw_epochs:
        grader.requires_grad_(requires_grad=True)
        return
    away = distances(grader)
    steps = max(epoch - fine_tuning.frozen_epochs + 1, 0)
    num_blocks = max(away.values())
    learning = -(-num_blocks * steps // fine_tuning.thaw_epochs) if steps else 0
    for name, parameter in grader.named_parameters():
        parameter.requires_grad_(away[name] <= learning)


def freeze_statistics(grader: Grader) -> None:
    """Keeps the running statistics of frozen batch normalisation as they are; to be called after each `.train()`."""
    for layer in grader.modules():
        if isinstance(layer, _BatchNorm):
            own = list(layer.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                layer.eval()


def checkpoint_gradients(grader: Grader) -> None:
    """Computes activations twice instead of keeping them; weights and running statistics come out the same.

    The second computation must not move the running statistics of batch normalisation again, so their momentum is 0
    during the backward pass.

    Raises:
        ParamsError: timm's network cannot do it.
    """
    backbone: Any = grader.backbone  # timm's own methods
    try:
        backbone.set_grad_checkpointing(enable=True)
    except (AssertionError, AttributeError, TypeError) as error:  # timm has no type of its own
        raise ParamsError(
            f"{type(backbone).__name__} has no gradient checkpointing: {error or type(error).__name__}",
            todo="set memory.gradient_checkpointing: false, and memory.accumulation for smaller parts of a batch",
        ) from None
    for layer in backbone.modules():
        if isinstance(layer, _BatchNorm):
            _count_once(layer)


def _count_once(layer: _BatchNorm) -> None:
    momentum = layer.momentum

    def before(_: nn.Module, __: tuple[Tensor, ...]) -> None:
        if torch._C._current_graph_task_id() != -1:  # inside a backward pass
            layer.momentum = 0.0

    def after(_: nn.Module, __: tuple[Tensor, ...], ___: Tensor) -> None:
        layer.momentum = momentum

    layer.register_forward_pre_hook(before)
    layer.register_forward_hook(after, always_call=True)  # the second pass may stop inside a layer
