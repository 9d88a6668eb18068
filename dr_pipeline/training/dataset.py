"""Canvases with grades as a torch data set, and the order in which they are seen."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dr_pipeline.fundus.canvases import CanvasStore
from dr_pipeline.fundus.pixel_path import model_input

Pixels = NDArray[np.uint8]

# Model inputs are kept in memory up to this many bytes; beyond, each is decoded when it is drawn.
MEMORY_BYTES = 4 << 30


class GradedCanvases(Dataset[tuple[Tensor, Tensor]]):
    """Model inputs (H, W, 3) uint8 and their grades, indexed by (epoch, position).

    The epoch is part of the index so that augmentation depends on (seed, epoch, position) alone: not on the
    worker, and not on what was drawn before. A run that resumes sees the same pictures as one that did not stop.

    Args:
        store: The canvases.
        image_ids: Which photographs, in order.
        grades: One per photograph.
        input_px: Side of the model's input.
        augment: From (canvas, seed) to a changed canvas; None leaves it as scoring will see it.
        seed: Of the augmentation.
    """

    def __init__(
        self,
        store: CanvasStore,
        image_ids: Sequence[str],
        grades: Sequence[int],
        *,
        input_px: int,
        augment: Callable[[Pixels, int], Pixels] | None,
        seed: int,
    ) -> None:
        self._store, self._ids, self._input_px = store, list(image_ids), input_px
        self.grades = torch.tensor(list(grades), dtype=torch.long)
        self._augment, self._seed = augment, seed
        fits = len(self._ids) * input_px * input_px * 3 <= MEMORY_BYTES
        self._kept = [self._read(image_id) for image_id in self._ids] if fits else None

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, position = index
        pixels = self._kept[position] if self._kept is not None else self._read(self._ids[position])
        if self._augment is not None:
            pixels = self._augment(pixels, derived_seed(self._seed, epoch, position))
        return torch.from_numpy(np.ascontiguousarray(pixels)), self.grades[position]

    def _read(self, image_id: str) -> Pixels:
        return model_input(self._store.read(image_id), self._input_px)


class EpochOrder(Sampler[tuple[int, int]]):
    """All positions once per epoch, shuffled by (seed, epoch) or in order, as (epoch, position)."""

    def __init__(self, num_photographs: int, *, shuffle: bool, seed: int) -> None:
        self._num, self._shuffle, self._seed = num_photographs, shuffle, seed
        self.epoch = 0

    def __len__(self) -> int:
        return self._num

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self._num)
        if self._shuffle:
            np.random.default_rng([self._seed, self.epoch]).shuffle(order)
        return iter([(self.epoch, int(position)) for position in order])


def derived_seed(*parts: int) -> int:
    """One 32-bit seed from several numbers (NumPy's SeedSequence: well mixed, stable across platforms)."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def class_weights(grades: Sequence[int], exponent: float, num_grades: int) -> Tensor:
    """Weight n_g^-exponent of each grade, scaled to mean 1 over the photographs; an absent grade has weight 0."""
    counts = np.bincount(np.asarray(grades), minlength=num_grades).astype(float)
    raw = np.where(counts > 0, np.maximum(counts, 1) ** -exponent, 0.0)
    scaled = raw * counts.sum() / (raw * counts).sum()
    return torch.tensor(scaled, dtype=torch.float32)
