"""Batch normalisation's statistics taken anew, from photographs without grades (AdaBN)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dr_pipeline.errors import DataError


@torch.inference_mode()
def adapt_batch_norm(grader: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replaces the running statistics of every batch normalisation by those of these photographs, in place.

    After Li et al. 2016 (arXiv:1603.04779): what a camera or a site changes shows in the first two moments. A batch
    counts by its photographs; the variance is the mean variance within batches. Weights stay as they are, dropout is
    off, and no grade is read. The mode of the grader comes back as it was.

    Args:
        grader: uint8 (N, H, W, 3) → logits (N, 5).
        batches: Photographs without augmentation, on the grader's device; not a single photograph in a batch.

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
    seen = 0
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    for images in batches:
        if len(images) < 2:
            raise _too_few(len(images))
        seen += len(images)
        for layer in layers:
            layer.momentum = len(images) / seen  # the running mean over all photographs so far
        grader(images)
    if not seen:
        raise _too_few(0)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    grader.train(was_training)
    return len(layers)


def _too_few(num_photographs: int) -> DataError:
    return DataError(
        f"found {num_photographs} photographs at once; batch normalisation takes its statistics from 2 or more",
        where="training.adaptive_batch_norm in params.yaml",
        todo="set it to none, or name the part of the fold that has more photographs",
    )
