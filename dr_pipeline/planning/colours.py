"""Colour statistics of a sample of canvases, inside the retinal disc only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.files import sha256_bytes
from dr_pipeline.fundus.canvas import disc_mask

MAX_CANVASES = 200


class Store(Protocol):
    """Whatever gives canvases by name."""

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """(canvas_px, canvas_px, 3) RGB."""
        ...


@dataclass(frozen=True)
class Colours:
    """Red, green, blue in 0 … 1, over all pixels of the discs of `photographs` canvases."""

    photographs: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    spread: tuple[float, float, float]  # standard deviation of the photographs' own means: lighting and camera


def sample(image_ids: Sequence[str], count: int = MAX_CANVASES) -> list[str]:
    """At most `count` names, chosen by their hash, so that the order of a table does not matter."""
    return sorted(image_ids, key=lambda name: sha256_bytes(name.encode()))[:count]


def colours(store: Store, image_ids: Sequence[str]) -> Colours:
    """Reads the canvases one by one.

    Raises:
        ValueError: No canvas was named.
        DataError: A canvas cannot be read.
    """
    if not image_ids:
        raise ValueError("colours are taken from at least one canvas")
    means, squares = [], []
    for name in image_ids:
        canvas = store.read(name)
        disc = canvas[disc_mask(canvas.shape[0]) > 0].astype(np.float64) / 255
        means.append(disc.mean(axis=0))
        squares.append((disc**2).mean(axis=0))
    mean = np.mean(means, axis=0)
    std = np.sqrt(np.maximum(np.mean(squares, axis=0) - mean**2, 0.0))
    return Colours(len(means), _triple(mean), _triple(std), _triple(np.std(means, axis=0)))


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 4) for value in values)
    return red, green, blue
