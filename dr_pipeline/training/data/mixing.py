"""Two photographs of a batch in one, with their targets in the same shares: mixup or CutMix."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dr_pipeline.params.training import Mixing


def mix(images: Tensor, soft: Sequence[Tensor], params: Mixing, *, seed: int) -> tuple[Tensor, list[Tensor]]:
    """Mixes each photograph of a batch with the one before it, all in one share, or leaves the batch as it is.

    mixup (Zhang et al., ICLR 2018) blends the two; CutMix (Yun et al., ICCV 2019) puts a rectangle of the second into
    the first. Where both are on, each comes as often as the other. The first one's share is drawn from
    Beta(alpha, alpha). A CutMix rectangle is cut off at the canvas's border, and the share follows what was pasted: it
    counts pixels of the whole canvas, so the black corners beside the disc count too.

    A photograph meets the one before it, not one drawn at random: the batch's order is random already, and so nobody
    meets himself unless he is alone.

    Args:
        images: Photographs, uint8 (N, H, W, 3), on any device.
        soft: Distributions over the grades, each floating point (N, 5): targets, and a teacher's probabilities.
        params: How often, and how strongly.
        seed: Of every draw, the same on every device. No global generator is touched.

    Returns:
        The photographs, and `soft` in its order; new tensors where the batch was mixed, else the given ones.

    Raises:
        ValueError: The images are not uint8 (N, H, W, 3), or a distribution is not floating point of N rows.
    """
    _check(images, soft)
    kinds: list[tuple[Callable[[Tensor, float, np.random.Generator], tuple[Tensor, float]], float]] = [
        (kind, alpha) for kind, alpha in ((_blended, params.mixup_alpha), (_pasted, params.cutmix_alpha)) if alpha
    ]
    # NumPy's: torch has no Beta distribution that takes a generator.
    generator = np.random.default_rng(seed)
    if generator.random() >= params.probability:
        return images, list(soft)
    kind, alpha = kinds[generator.integers(len(kinds))]
    mixed, share = kind(images, float(generator.beta(alpha, alpha)), generator)
    return mixed, [share * own + (1 - share) * own.roll(1, 0) for own in soft]


def _check(images: Tensor, soft: Sequence[Tensor]) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"uint8 (N, H, W, 3) is mixed, given {images.dtype} {tuple(images.shape)}")
    for own in soft:
        if not own.is_floating_point() or own.ndim != 2 or len(own) != len(images):
            raise ValueError(
                f"floating-point ({len(images)}, grades) is mixed, given {own.dtype} {tuple(own.shape)}; "
                "turn grades into one-hot distributions first"
            )


def _blended(images: Tensor, share: float, _generator: np.random.Generator) -> tuple[Tensor, float]:
    first = images.float()
    blend = share * first + (1 - share) * first.roll(1, 0)
    return blend.round().to(torch.uint8), share


def _pasted(images: Tensor, share: float, generator: np.random.Generator) -> tuple[Tensor, float]:
    """The rectangle has the canvas's proportions, its centre anywhere."""
    height, width = images.shape[1:3]
    top, bottom = _span(height, share, generator)
    left, right = _span(width, share, generator)
    mixed = images.clone()
    mixed[:, top:bottom, left:right] = images.roll(1, 0)[:, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _span(side: int, share: float, generator: np.random.Generator) -> tuple[int, int]:
    half = side * (1 - share) ** 0.5 / 2
    centre = generator.uniform(0, side)
    return max(0, round(centre - half)), min(side, round(centre + half))
