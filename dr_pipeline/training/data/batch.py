"""Batches of a training step: targets, teacher probabilities, mixup or CutMix, and the division into microbatches."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dr_pipeline.params.training import Distillation, Mixing, Training
from dr_pipeline.training.data.canvas_dataset import GradedCanvases


class Batch(NamedTuple):
    """A batch or a microbatch, as TrainingTask takes it."""

    images: Tensor  # uint8 (N, H, W, 3)
    targets: Tensor  # long (N,) or float (N, 5)
    teacher: Tensor | None  # float (N, 5) probabilities


class BatchBuilder:
    """Looks up the targets and teacher probabilities of a batch by position, and mixes its photographs.

    Args:
        train_set: Photographs with targets; mixing needs targets that are distributions.
        params: Mixing and distillation.
    """

    def __init__(self, train_set: GradedCanvases, params: Training) -> None:
        self._mixing = params.mixing
        self._targets, self._teacher = train_set.targets, softened(train_set.teacher, params.distillation)

    def build(self, images: Tensor, positions: Tensor, *, seed: int) -> Batch:
        """Builds one batch.

        Args:
            images: uint8 (N, H, W, 3), mixed on their own device.
            positions: long (N,), of the photographs in the train set, on the CPU.
            seed: Of the mixing; one for each batch.

        Returns:
            The images on their device; targets and teacher on the CPU.
        """
        targets = self._targets[positions]
        teacher = None if self._teacher is None else self._teacher[positions]
        if not self._mixing.probability:
            return Batch(images, targets, teacher)
        distributions = [targets] if teacher is None else [targets, teacher]
        images, distributions = mix(images, distributions, self._mixing, seed=seed)
        return Batch(images, distributions[0], None if teacher is None else distributions[1])


def softened(teacher: Tensor | None, distillation: Distillation) -> Tensor | None:
    """The teacher's probabilities (N, 5) at the distillation's temperature, from its logits."""
    return None if teacher is None else (teacher / distillation.temperature).softmax(1)


def split_microbatches(batch: Batch, num: int, *, min_per_process: int) -> list[Batch]:
    """Splits a batch into microbatches of nearly equal size, each of two photographs or more.

    Args:
        batch: The part of the batch on this process.
        num: Number of microbatches; fewer where the batch is too small.
        min_per_process: Photographs on the process that has fewest of this batch. All processes make equally many
            microbatches: synchronised batch normalisation waits for the others in each of them.
    """
    num = max(1, min(num, min_per_process // 2))
    images, targets = batch.images.tensor_split(num), batch.targets.tensor_split(num)
    teachers: tuple[Tensor | None, ...] = (None,) * num if batch.teacher is None else batch.teacher.tensor_split(num)
    return [Batch(*part) for part in zip(images, targets, teachers, strict=True)]


def mix(images: Tensor, distributions: Sequence[Tensor], params: Mixing, *, seed: int) -> tuple[Tensor, list[Tensor]]:
    """Applies mixup or CutMix to a whole batch with one mixing weight, or returns the batch unchanged.

    mixup (Zhang et al., ICLR 2018) blends two photographs; CutMix (Yun et al., ICCV 2019) pastes a rectangle of the
    second into the first. Where both are enabled, they are equally likely. The weight of the first photograph is drawn
    from Beta(alpha, alpha). A CutMix rectangle is clipped at the canvas's border, and the weight follows the pasted
    area: it counts pixels of the whole canvas, including the black corners beside the disc.

    Each photograph is mixed with the one before it in the batch: the order is random already, and no photograph is
    mixed with itself unless it is alone.

    Args:
        images: Photographs, uint8 (N, H, W, 3), on any device.
        distributions: Over the grades, each floating point (N, 5): targets, and teacher probabilities.
        params: Probability and strength.
        seed: Of every draw, the same on every device. No global generator is used.

    Returns:
        The photographs, and `distributions` in their order; new tensors where the batch was mixed, else the given ones.

    Raises:
        ValueError: The images are not uint8 (N, H, W, 3), or a distribution is not floating point of N rows.
    """
    _check_mixable(images, distributions)
    kinds: list[tuple[Callable[[Tensor, float, np.random.Generator], tuple[Tensor, float]], float]] = [
        (kind, alpha) for kind, alpha in ((_mixup, params.mixup_alpha), (_cutmix, params.cutmix_alpha)) if alpha
    ]
    # NumPy's generator: torch has no Beta distribution that takes one
    generator = np.random.default_rng(seed)
    if generator.random() >= params.probability:
        return images, list(distributions)
    kind, alpha = kinds[generator.integers(len(kinds))]
    mixed, weight = kind(images, float(generator.beta(alpha, alpha)), generator)
    return mixed, [weight * first + (1 - weight) * first.roll(1, 0) for first in distributions]


def _check_mixable(images: Tensor, distributions: Sequence[Tensor]) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 (N, H, W, 3), found {images.dtype} {tuple(images.shape)}")
    for tensor in distributions:
        if not tensor.is_floating_point() or tensor.ndim != 2 or len(tensor) != len(images):
            raise ValueError(
                f"distributions must be floating-point ({len(images)}, grades), found {tensor.dtype} "
                f"{tuple(tensor.shape)}; turn grades into one-hot distributions first"
            )


def _mixup(images: Tensor, weight: float, _generator: np.random.Generator) -> tuple[Tensor, float]:
    first = images.float()
    blend = weight * first + (1 - weight) * first.roll(1, 0)
    return blend.round().to(torch.uint8), weight


def _cutmix(images: Tensor, weight: float, generator: np.random.Generator) -> tuple[Tensor, float]:
    """The rectangle has the canvas's proportions and a uniformly drawn centre."""
    height, width = images.shape[1:3]
    top, bottom = _span(height, weight, generator)
    left, right = _span(width, weight, generator)
    mixed = images.clone()
    mixed[:, top:bottom, left:right] = images.roll(1, 0)[:, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _span(side: int, weight: float, generator: np.random.Generator) -> tuple[int, int]:
    half = side * (1 - weight) ** 0.5 / 2
    centre = generator.uniform(0, side)
    return max(0, round(centre - half)), min(side, round(centre + half))
