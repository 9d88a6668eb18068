"""Canvases with grades as a torch data set, and the order in which they are seen."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate, get_worker_info

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.fundus.canvases import CanvasStore
from dr_pipeline.fundus.pixel_path import model_input

Pixels = NDArray[np.uint8]

# Model inputs are kept in memory up to this many bytes; beyond, each is decoded when it is drawn.
MEMORY_BYTES = 4 << 30
MAX_WORKERS = 256


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

    Raises:
        DataError: A canvas cannot be read; also when it is drawn. It names the photograph.
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
        # [worker] = (process id, position begun last): shared, so that it outlives a worker that dies
        self._begun = torch.full((MAX_WORKERS, 2), -1, dtype=torch.long)
        self._begun.share_memory_()  # type: ignore[no-untyped-call]
        fits = len(self._ids) * input_px * input_px * 3 <= MEMORY_BYTES
        self._kept = [self._read(image_id) for image_id in self._ids] if fits else None

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, position = index
        if (worker := get_worker_info()) is not None:
            self._begun[worker.id % MAX_WORKERS] = torch.tensor([os.getpid(), position])
        pixels = self._kept[position] if self._kept is not None else self._read(self._ids[position])
        if self._augment is not None:
            pixels = self._augment(pixels, derived_seed(self._seed, epoch, position))
        return torch.from_numpy(np.ascontiguousarray(pixels)), self.grades[position]

    def __getitems__(self, indices: list[tuple[int, int]]) -> list[tuple[Tensor, Tensor]] | DataError:
        """The photographs of one batch, or why one cannot be read.

        The error is handed over as a value: raised in a loader process, torch would bury it in a traceback.
        """
        try:
            return [self[index] for index in indices]
        except DataError as error:
            return error

    def begun_by(self, process_ids: Sequence[int]) -> list[str]:
        """The photographs that these loader processes began last."""
        return [self._ids[position] for pid, position in self._begun.tolist() if pid in process_ids]

    def _read(self, image_id: str) -> Pixels:
        try:
            return model_input(self._store.read(image_id), self._input_px)
        except (DataError, OSError) as error:
            what, where = (error.what, error.where) if isinstance(error, DataError) else (str(error), "")
            raise DataError(
                f"the canvas of {image_id!r} cannot be read: {what}",
                where=where,
                todo="run `dvc repro preprocess`, which makes it anew",
            ) from error


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


class Batches:
    """Batches of photographs (N, H, W, 3) uint8 and grades (N,), from this process or from loader processes.

    Args:
        data: The photographs.
        order: Which photograph comes when.
        batch_photographs: Photographs in a batch; the last may have fewer.
        num_workers: Loader processes; 0 reads in this one.
        drop_last: Leaves out a last batch that is not full.

    Raises:
        DataError: While iterating: a canvas cannot be read.
        EnvironmentProblem: While iterating: a loader process died; names the photograph it was at.
    """

    def __init__(
        self, data: GradedCanvases, order: EpochOrder, batch_photographs: int, num_workers: int, *, drop_last: bool
    ) -> None:
        self._data = data
        self._loader: DataLoader[Any] = DataLoader(
            data, batch_photographs, sampler=order, num_workers=num_workers, drop_last=drop_last, collate_fn=_collate
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            for batch in self._loader:
                if isinstance(batch, DataError):
                    raise batch
                images, grades = batch
                yield images, grades
        except RuntimeError as error:
            # torch: "DataLoader worker (pid 7) is killed by signal: …", "DataLoader worker (pid(s) 7, 8) exited …"
            dead = re.match(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)", str(error))
            if dead is None:
                raise
            images_at = ", ".join(map(repr, self._data.begun_by([int(pid) for pid in dead[1].split(",")])))
            raise EnvironmentProblem(
                f"a loader process died: {error}",
                where=f"photograph {images_at}" if images_at else "before its first photograph",
                todo="look at that photograph; a process that was killed usually means too little memory",
            ) from error


def _collate(items: list[tuple[Tensor, Tensor]] | DataError) -> Any:
    return items if isinstance(items, DataError) else default_collate(items)


def derived_seed(*parts: int) -> int:
    """One 32-bit seed from several numbers (NumPy's SeedSequence: well mixed, stable across platforms)."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def class_weights(grades: Sequence[int], exponent: float, num_grades: int) -> Tensor:
    """Weight n_g^-exponent of each grade, scaled to mean 1 over the photographs; an absent grade has weight 0."""
    counts = np.bincount(np.asarray(grades), minlength=num_grades).astype(float)
    raw = np.where(counts > 0, np.maximum(counts, 1) ** -exponent, 0.0)
    scaled = raw * counts.sum() / (raw * counts).sum()
    return torch.tensor(scaled, dtype=torch.float32)
