"""Layers by depth: learning rates, gradual unfreezing, and gradient checkpointing."""

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


def block_distances(grader: Grader) -> dict[str, int]:
    """The distance of each parameter from the classifier, in timm's blocks; the classifier's is 0.

    Returns:
        Parameter name in `grader` → distance.

    Raises:
        ParamsError: timm does not define the blocks of this network.
    """
    backbone: Any = grader.backbone  # timm's own methods
    if not hasattr(backbone, "group_matcher"):
        raise ParamsError(
            f"timm does not define the blocks of {type(backbone).__name__}",
            todo="set fine_tuning: {layer_decay: 1.0, frozen_epochs: 0, thaw_epochs: 0}",
        )
    depths: dict[str, int] = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    last = classifier_prefixes(backbone)
    body = sorted({depth for name, depth in depths.items() if not name.startswith(last)}, reverse=True)
    # what timm groups with the classifier, such as a norm before it, has its distance
    with_classifier = {depth for name, depth in depths.items() if name.startswith(last)}
    ranks = {depth: rank for rank, depth in enumerate((d for d in body if d not in with_classifier), start=1)}
    of_backbone = {f"backbone.{name}": ranks.get(depth, 0) for name, depth in depths.items()}
    return {name: of_backbone.get(name, 0) for name, _ in grader.named_parameters()}


def parameter_groups(
    grader: Grader, *, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: every parameter once, including those that are frozen at present.

    As in timm's training script, biases, normalisation and what the network itself exempts, such as position embeddings
    and class tokens, have no weight decay. The learning rate is multiplied by `layer_decay` for each block between a
    layer and the classifier (Bao et al. 2022, BEiT).

    Args:
        grader: The network.
        learning_rate: Of the classifier.
        weight_decay: Of matrices and kernels.
        layer_decay: 1.0 gives two groups, with and without weight decay.

    Raises:
        ParamsError: `layer_decay` is not 1.0, and timm does not define the blocks of this network.
    """
    distances = block_distances(grader) if layer_decay != 1.0 else {}
    exempt = _exempt_from_decay(grader)
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for name, parameter in grader.named_parameters():
        is_exempt = parameter.ndim <= 1 or name.endswith(".bias") or name in exempt
        groups.setdefault((distances.get(name, 0), is_exempt), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": learning_rate * layer_decay**distance,
            "weight_decay": 0.0 if is_exempt else weight_decay,
        }
        for (distance, is_exempt), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _exempt_from_decay(grader: Grader) -> set[str]:
    """Names in `grader` of the parameters in timm's `no_weight_decay`."""
    backbone: Any = grader.backbone  # timm's own methods
    patterns = backbone.no_weight_decay() if hasattr(backbone, "no_weight_decay") else ()
    return {
        f"backbone.{name}"
        for name, _ in backbone.named_parameters()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def unfreeze_blocks(grader: Grader, *, epoch: int, fine_tuning: FineTuning) -> None:
    """Sets which blocks are trained in an epoch: the classifier always, the others from the last to the first.

    Args:
        grader: The network; `requires_grad` is changed in place.
        epoch: From 0.
        fine_tuning: For `frozen_epochs` only the classifier is trained; in the k-th of the following `thaw_epochs` the
            last k / thaw_epochs of the blocks are, rounded up.

    Raises:
        ParamsError: Blocks are to be frozen, and timm does not define the blocks of this network.
    """
    if epoch >= fine_tuning.frozen_epochs + fine_tuning.thaw_epochs:
        grader.requires_grad_(requires_grad=True)
        return
    distances = block_distances(grader)
    step = max(epoch - fine_tuning.frozen_epochs + 1, 0)
    num_blocks = max(distances.values())
    num_trained = -(-num_blocks * step // fine_tuning.thaw_epochs) if step else 0
    for name, parameter in grader.named_parameters():
        parameter.requires_grad_(distances[name] <= num_trained)


def freeze_batch_norm_statistics(grader: Grader) -> None:
    """Stops updating the running statistics of frozen batch normalisation. Call it after each `.train()`."""
    for layer in grader.modules():
        if isinstance(layer, _BatchNorm):
            parameters = list(layer.parameters(recurse=False))
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                layer.eval()


def enable_gradient_checkpointing(grader: Grader) -> None:
    """Recomputes activations in the backward pass instead of storing them; the results are the same.

    The momentum of batch normalisation is 0 during the backward pass, so that recomputing does not update the running
    statistics twice.

    Raises:
        ParamsError: timm's network does not support it.
    """
    backbone: Any = grader.backbone  # timm's own methods
    try:
        backbone.set_grad_checkpointing(enable=True)
    except (AssertionError, AttributeError, TypeError) as error:  # timm has no exception type of its own
        raise ParamsError(
            f"{type(backbone).__name__} has no gradient checkpointing: {error or type(error).__name__}",
            todo="set memory.gradient_checkpointing: false, and memory.accumulation for smaller microbatches",
        ) from None
    for layer in backbone.modules():
        if isinstance(layer, _BatchNorm):
            _update_statistics_once(layer)


def _update_statistics_once(layer: _BatchNorm) -> None:
    momentum = layer.momentum

    def disable_in_backward(_: nn.Module, __: tuple[Tensor, ...]) -> None:
        if torch._C._current_graph_task_id() != -1:  # inside a backward pass
            layer.momentum = 0.0

    def restore(_: nn.Module, __: tuple[Tensor, ...], ___: Tensor) -> None:
        layer.momentum = momentum

    layer.register_forward_pre_hook(disable_in_backward)
    layer.register_forward_hook(restore, always_call=True)  # recomputing may stop inside a layer
