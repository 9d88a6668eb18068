"""Two views of a photograph: the same canvas, augmented and cropped twice."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.params.pretraining import Pretraining
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.sampler import derived_seed

Pixels = NDArray[np.uint8]


def two_views(params: Pretraining) -> Callable[[Pixels, int], Pixels]:
    """Returns a function from (canvas (H, H, 3) RGB, seed) to two views (2, input_px, input_px, 3).

    The canvas is augmented as a whole, so that its surroundings stay black, and then cropped to a square of at least
    `crop_area` of it.
    """
    augment = augmenter(params.augmentation)

    def view(canvas: Pixels, seed: int) -> Pixels:
        return model_input(_crop(augment(canvas, seed), params.crop_area, seed), params.input_px)

    return lambda canvas, seed: np.stack([view(canvas, derived_seed(seed, number)) for number in range(2)])


def _crop(canvas: Pixels, smallest_area: float, seed: int) -> Pixels:
    """A random square of `smallest_area` … 1 of a square canvas's area, at a random place."""
    generator = np.random.default_rng(seed)
    side = max(1, round(canvas.shape[0] * generator.uniform(smallest_area, 1) ** 0.5))
    top, left = generator.integers(canvas.shape[0] - side + 1, size=2)
    return canvas[top : top + side, left : left + side]
