"""Optimiser, learning-rate schedule, weight averaging, and adaptive batch normalisation."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR

from dr_pipeline.errors import DataError
from dr_pipeline.models.grader import Grader
from dr_pipeline.models.layer_groups import parameter_groups
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training


def make_optimizer(grader: Grader, candidate: Candidate, params: Training) -> torch.optim.AdamW:
    """AdamW over the grader's parameter groups, with layer-wise learning-rate decay."""
    groups = parameter_groups(
        grader,
        learning_rate=candidate.learning_rate,
        weight_decay=params.weight_decay,
        layer_decay=candidate.fine_tuning.layer_decay,
    )
    fused = params.precision != "16-mixed" or None  # fused, Fabric could not clip there; None is torch's own choice
    return torch.optim.AdamW(groups, lr=candidate.learning_rate, fused=fused)


def make_scheduler(optimizer: torch.optim.Optimizer, num_steps: int, params: Training) -> LambdaLR:
    """The schedule of `warmup_cosine` for an optimiser."""
    return LambdaLR(
        optimizer, lambda step: warmup_cosine(step, num_steps=num_steps, warmup_fraction=params.warmup_share)
    )


def warmup_cosine(step: int, *, num_steps: int, warmup_fraction: float) -> float:
    """Fraction of the peak learning rate at `step`: linear warm-up, then a half cosine to 0 (SGDR without restarts)."""
    warmup = max(1, round(num_steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))


class MovingAverage:
    """Exponential moving average of weights, as AveragedModel's `multi_avg_fn`.

    Early on the decay is (1 + n) / (10 + n), as in TensorFlow's ExponentialMovingAverage, so that the random initial
    weights lose their influence quickly.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay

    def __call__(self, averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        """Moves each averaged tensor towards its current value, in place; counters are copied."""
        decay = min(self._decay, (1 + int(num_averaged)) / (10 + int(num_averaged)))
        with torch.no_grad():
            for mean, new in zip(averaged, current, strict=True):
                if mean.is_floating_point():
                    mean.lerp_(new, 1 - decay)
                else:
                    mean.copy_(new)


@torch.inference_mode()
def adapt_batch_norm(grader: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replaces the running statistics of every batch normalisation by those of these photographs, in place (AdaBN).

    After Li et al. 2016 (arXiv:1603.04779): the effect of a camera or a site shows in the first two moments. A batch
    is weighted by its number of photographs; the variance is the mean variance within batches. Weights do not change,
    dropout is off, and no grade is used. The mode of the grader is restored.

    Args:
        grader: uint8 (N, H, W, 3) → logits (N, 5).
        batches: Photographs without augmentation, on the grader's device; at least two in each batch.

    Returns:
        Number of layers that were adapted; 0 where the network has no batch normalisation.

    Raises:
        DataError: There is no photograph, or a batch of one.
    """
    layers = [module for module in grader.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not layers:
        return 0
    was_training, momenta = grader.training, [layer.momentum for layer in layers]
    grader.eval()
    num_photographs = 0
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    for images in batches:
        if len(images) < 2:
            raise _too_few(len(images))
        num_photographs += len(images)
        for layer in layers:
            layer.momentum = len(images) / num_photographs  # the running mean over all photographs so far
        grader(images)
    if not num_photographs:
        raise _too_few(0)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    grader.train(was_training)
    return len(layers)


def _too_few(num_photographs: int) -> DataError:
    return DataError(
        f"found {num_photographs} photographs in a batch; batch normalisation takes its statistics from 2 or more",
        where="training.adaptive_batch_norm in params.yaml",
        todo="set it to none, or to the part of the fold that has more photographs",
    )
