"""Graded canvases as a torch data set, and the loader of their batches."""

import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.training.data.sampler import EpochBatchSampler, SampleKey, derived_seed

Pixels = NDArray[np.uint8]

# Model inputs are kept in memory up to this many bytes; beyond, each is decoded when it is drawn.
MEMORY_BYTES = 4 << 30
MAX_WORKERS = 256


class Canvases(Protocol):
    """A source of canvases, such as a CanvasStore."""

    def read(self, image_id: str) -> Pixels:
        """One canvas: (canvas_px, canvas_px, 3) RGB."""
        ...


class GradedCanvases(Dataset[tuple[Tensor, int]]):
    """Model inputs (H, W, 3) uint8 and their positions, indexed by SampleKey.

    Augmentation depends on the seed and the key alone: not on the worker, and not on earlier samples. A resumed run
    sees the same images as an uninterrupted one.

    Args:
        store: The canvases.
        image_ids: Which photographs, in order.
        grades: One per photograph.
        input_px: Side of the model's input.
        augment: Maps (canvas, seed) to an augmented canvas; None leaves it as scoring sees it.
        seed: Of the augmentation.
        targets: long (N,) grades or float (N, 5) distributions; None takes the grades.
        teacher: Logits (N, 5) of the teacher; None without distillation.
        groups: What belongs together, such as a patient, N names; None: each photograph is alone.
        sites: Of the photographs, N names; None: all are of one site.

    Attributes:
        grades: long (N,).
        groups: As given, or the image ids.
        sites: As given.
        targets: As given, or the grades.
        teacher: As given.
        in_memory: Whether all model inputs are kept in memory; else each is decoded when it is drawn.

    Raises:
        DataError: A canvas cannot be read, on construction or later; names the photograph.
    """

    def __init__(
        self,
        store: Canvases,
        image_ids: Sequence[str],
        grades: Sequence[int],
        *,
        input_px: int,
        augment: Callable[[Pixels, int], Pixels] | None = None,
        seed: int = 0,
        targets: Tensor | None = None,
        teacher: Tensor | None = None,
        groups: Sequence[str] | None = None,
        sites: Sequence[str] | None = None,
    ) -> None:
        self._store, self._ids, self._input_px = store, list(image_ids), input_px
        self.grades = torch.tensor(list(grades), dtype=torch.long)
        self.targets = self.grades if targets is None else targets
        self.teacher = teacher
        self.groups = self._ids if groups is None else list(groups)
        self.sites = sites
        self._augment, self._seed = augment, seed
        # [worker] = (process id, position started last): in shared memory, so that it outlives a worker that dies
        self._started = torch.full((MAX_WORKERS, 2), -1, dtype=torch.long)
        self._started.share_memory_()  # type: ignore[no-untyped-call]
        self.in_memory = len(self._ids) * input_px * input_px * 3 <= MEMORY_BYTES
        self._cache = [self._read(image_id) for image_id in self._ids] if self.in_memory else None

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, int]:
        position = key.position
        if (worker := get_worker_info()) is not None:
            self._started[worker.id % MAX_WORKERS] = torch.tensor([os.getpid(), position])
        pixels = self._cache[position] if self._cache is not None else self._read(self._ids[position])
        if self._augment is not None:
            pixels = self._augment(pixels, derived_seed(self._seed, *key))
        return torch.from_numpy(np.ascontiguousarray(pixels)), position

    def __getitems__(self, keys: list[SampleKey]) -> list[tuple[Tensor, int]] | DataError:
        """The photographs of one batch, or the error of the first one that cannot be read.

        The error is returned as a value: raised in a loader process, torch would bury it in a traceback.
        """
        try:
            return [self[key] for key in keys]
        except DataError as error:
            return error

    def started_by(self, process_ids: Sequence[int]) -> list[str]:
        """The photographs that these loader processes started to read last."""
        return [self._ids[position] for pid, position in self._started.tolist() if pid in process_ids]

    def dead_workers(self) -> list[int]:
        """Loader processes that have started a photograph and are no longer there; waits a second for one to end."""
        started = {pid for pid in self._started[:, 0].tolist() if pid >= 0}
        end_s = time.monotonic() + 1
        while True:
            dead = started - {process.pid for process in multiprocessing.active_children()}
            if dead or time.monotonic() > end_s:
                return sorted(dead)
            time.sleep(0.02)

    def _read(self, image_id: str) -> Pixels:
        try:
            return model_input(self._store.read(image_id), self._input_px)
        except (DataError, OSError) as error:
            what, where = (error.what, error.where) if isinstance(error, DataError) else (str(error), "")
            raise DataError(
                f"the canvas of {image_id!r} cannot be read: {what}",
                where=where,
                todo="run `dvc repro preprocess`, which writes it again",
            ) from error


class BatchLoader:
    """Loads batches of photographs (N, H, W, 3) uint8 and positions (N,), in this process or in loader processes.

    Args:
        data: The photographs.
        sampler: Which photographs make up each batch.
        num_workers: Loader processes; 0 reads in this one.

    Raises:
        DataError: While iterating: a canvas cannot be read.
        EnvironmentProblem: While iterating: a loader process died; names the photograph it was reading.
    """

    def __init__(self, data: GradedCanvases, sampler: EpochBatchSampler, num_workers: int) -> None:
        self._data = data
        self._loader: DataLoader[Any] = DataLoader(
            data,
            batch_sampler=sampler,
            num_workers=num_workers,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=num_workers > 0,  # starting them takes longer than an epoch of a small data set
            generator=torch.Generator(),  # else each epoch draws from the global one, which dropout uses too
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            for batch in self._loader:
                if isinstance(batch, DataError):
                    raise batch
                images, positions = batch
                yield images, positions
        except RuntimeError as error:
            # torch: "DataLoader worker (pid 7) is killed by signal: …", "DataLoader worker (pid(s) 7, 8) exited …"
            dead = re.match(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)", str(error))
            if dead is None:
                raise
            raise self._death(error, [int(pid) for pid in dead[1].split(",")]) from error
        except (EOFError, ConnectionError) as error:  # it died while a batch was fetched from it
            raise self._death(error, self._data.dead_workers()) from error

    def _death(self, error: Exception, process_ids: Sequence[int]) -> EnvironmentProblem:
        image_ids = ", ".join(map(repr, self._data.started_by(process_ids)))
        return EnvironmentProblem(
            f"a loader process died: {str(error) or type(error).__name__}",
            where=f"photograph {image_ids}" if image_ids else "before its first photograph",
            todo="check that photograph; a process that was killed usually means too little memory",
        )


def _collate(items: list[tuple[Tensor, int]] | DataError) -> Any:
    return items if isinstance(items, DataError) else default_collate(items)
