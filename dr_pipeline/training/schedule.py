"""How the learning rate and the moving average of the weights go along with the steps."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def warmup_cosine(step: int, *, num_steps: int, warmup_share: float) -> float:
    """Share of the peak learning rate at `step`: linear warm-up, then a half cosine to zero (SGDR without restarts)."""
    warmup = max(1, round(num_steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))


class MovingAverage:
    """Exponential moving average of weights, as AveragedModel's `multi_avg_fn`.

    Early on the decay is (1 + n) / (10 + n), as in TensorFlow's ExponentialMovingAverage: a random start is forgotten.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay

    def __call__(self, averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        """Moves each averaged tensor towards its current one, in place; counters are copied."""
        decay = min(self._decay, (1 + int(num_averaged)) / (10 + int(num_averaged)))
        with torch.no_grad():
            for mean, new in zip(averaged, current, strict=True):
                if mean.is_floating_point():
                    mean.lerp_(new, 1 - decay)
                else:
                    mean.copy_(new)
