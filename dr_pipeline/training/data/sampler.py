"""Which photograph is seen when, and on which process: the batches of an epoch."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.params.training import Sampling

MIN_PHOTOGRAPHS = 2  # of a batch on one process: batch normalisation has no variance from one


class Draw(NamedTuple):
    """One look at a photograph.

    Attributes:
        epoch: From 0.
        position: Of the photograph.
        repeat: How often it was drawn before in this epoch; balanced sampling repeats the rare grades' photographs.
    """

    epoch: int
    position: int
    repeat: int


class EpochBatches(Sampler[list[Draw]]):
    """The batches of one epoch on one of several processes, as lists of draws.

    With `shuffle` all processes draw the same order from (seed, epoch), cut it into the same batches, and each takes
    every world_size-th photograph of each batch. A rest too small for batch normalisation joins the batch before it.
    Without, the batches are those of one process in the given order, and each process takes every world_size-th whole
    batch: nothing is padded, and each batch computes to the same bits as on one process.

    Sampling is `natural` (each photograph once), `balanced` (each present grade equally often) or `decaying` (balanced
    in the first epoch, then linearly towards natural, which the last epoch is). The latter is after team o_O, second
    in Kaggle's Diabetic Retinopathy Detection 2015, who began with equal shares and came down epoch by epoch, in their
    case to twice the natural share of grades 1 to 4.

    Attributes:
        epoch: Of the next iteration, from 0; the training loop sets it.

    Args:
        grades: One per photograph.
        batch_photographs: Photographs in a batch, all processes together.
        shuffle: For training; without it, for evaluation.
        seed: Of the order.
        sampling: How often a photograph is drawn in an epoch; needs `shuffle` unless natural.
        num_epochs: Of the whole training; read by `decaying` only.
        rank: This process.
        world_size: Number of processes.

    Raises:
        ParamsError: A shuffled batch has fewer than two photographs for each process.
        DataError: So have all photographs together.
        ValueError: Sampling without shuffling.
    """

    def __init__(
        self,
        grades: Sequence[int],
        batch_photographs: int,
        *,
        shuffle: bool,
        seed: int,
        sampling: Sampling = "natural",
        num_epochs: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        least = MIN_PHOTOGRAPHS * world_size
        if shuffle and batch_photographs < least:
            raise ParamsError(
                f"a batch of {batch_photographs} photographs is too small for {world_size} processes: batch "
                f"normalisation needs {MIN_PHOTOGRAPHS} on each",
                where=f"candidates: batch_photographs {batch_photographs}",
                todo=f"raise batch_photographs to {least} or more, or train with fewer processes",
            )
        if shuffle and len(grades) < least:
            raise DataError(
                f"found {len(grades)} photographs to learn from; {world_size} processes need at least {least}",
                where="the training part of the fold",
                todo="add photographs, or lower split.num_folds",
            )
        if not shuffle and sampling != "natural":
            raise ValueError(f"{sampling} sampling draws an order, and needs shuffle")
        self._grades, self._batch = np.asarray(grades, dtype=np.int64), batch_photographs
        self._shuffle, self._seed, self._sampling = shuffle, seed, sampling
        self._num_epochs, self._rank, self._world_size = num_epochs, rank, world_size
        self._bounds = self._cut()
        self.epoch = 0

    def __len__(self) -> int:
        """Number of batches on this process; when shuffled, the same on all."""
        return len(self._bounds) if self._shuffle else len(self._bounds[self._rank :: self._world_size])

    def fewest(self, number: int) -> int:
        """Photographs of the shuffled batch `number` on the process that has fewest of them."""
        start, stop = self._bounds[number]
        return (stop - start) // self._world_size

    def __iter__(self) -> Iterator[list[Draw]]:
        order = self._drawn() if self._shuffle else np.arange(len(self._grades))
        seen = Counter[int]()
        draws = []
        for position in order.tolist():
            draws.append(Draw(self.epoch, position, seen[position]))
            seen[position] += 1
        batches = [draws[start:stop] for start, stop in self._bounds]
        if self._shuffle:
            yield from (batch[self._rank :: self._world_size] for batch in batches)
        else:
            yield from batches[self._rank :: self._world_size]

    def _cut(self) -> list[tuple[int, int]]:
        """Start and stop of each batch, all processes together."""
        num = len(self._grades)
        starts = list(range(0, num, self._batch))
        if self._shuffle and len(starts) > 1 and num - starts[-1] < MIN_PHOTOGRAPHS * self._world_size:
            starts.pop()
        return list(itertools.pairwise([*starts, num]))

    def _drawn(self) -> NDArray[np.int64]:
        """The order of this epoch, all processes together."""
        generator = np.random.default_rng([self._seed, self.epoch])
        order = np.arange(len(self._grades))
        if balance := self._balance():
            order = _balanced(self._grades, balance, generator)
        generator.shuffle(order)
        return order

    def _balance(self) -> float:
        """How far the shares of this epoch are from natural (0) to balanced (1)."""
        if self._sampling == "decaying":
            return max(0.0, 1 - self.epoch / (self._num_epochs - 1)) if self._num_epochs > 1 else 0.0
        return float(self._sampling == "balanced")


def _balanced(grades: NDArray[np.int64], balance: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """As many positions as there are photographs, drawn by systematic sampling with unequal shares (Madow 1949).

    A photograph that is due m times on average is drawn ⌊m⌋ or ⌈m⌉ times, and so is each grade: the draws spread over
    the photographs of a grade as evenly as they can.
    """
    counts = np.bincount(grades)
    balanced = len(grades) / (np.count_nonzero(counts) * counts[grades])
    due = (1 - balance) + balance * balanced
    order = generator.permutation(len(grades))
    order = order[np.argsort(grades[order], kind="stable")]  # grade by grade, at random within each
    marks = generator.random() + np.arange(len(grades))
    # the sum of `due` may fall short of the last mark by rounding
    drawn = np.searchsorted(np.cumsum(due[order]), marks, side="right").clip(max=len(grades) - 1)
    return np.asarray(order[drawn])
