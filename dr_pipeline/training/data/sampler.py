"""The batches of an epoch: which photograph is in which batch, on which process; and derived seeds."""

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


def derived_seed(*parts: int) -> int:
    """One 32-bit seed from several numbers (NumPy's SeedSequence: well mixed, stable across platforms)."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class SampleKey(NamedTuple):
    """Identifies one sample of a training, and seeds its augmentation.

    Attributes:
        epoch: From 0.
        position: Of the photograph in the data set.
        repeat: Earlier samples of the photograph in this epoch; balanced sampling repeats those of rare grades.
    """

    epoch: int
    position: int
    repeat: int


class EpochBatchSampler(Sampler[list[SampleKey]]):
    """The batches of one epoch on one of several processes, as lists of sample keys.

    With `shuffle` all processes draw the same order from (seed, epoch), cut it into the same batches, and each takes
    every world_size-th photograph of each batch. A remainder too small for batch normalisation joins the batch before
    it. Without, the batches are those of one process in the given order, and each process takes every world_size-th
    whole batch: nothing is padded, and each batch computes to the same bits as on one process.

    Sampling is `natural` (each photograph once), `balanced` (each present grade equally often) or `decaying` (balanced
    in the first epoch, then linearly towards natural, which the last epoch is). The latter is after team o_O, second
    in Kaggle's Diabetic Retinopathy Detection 2015, who started with equal class frequencies and reduced them epoch by
    epoch, in their case to twice the natural frequency of grades 1 to 4.

    A site temperature T above 1 draws a site of n photographs in proportion to n^(1/T) instead of n, as languages with
    little text are sampled (Arivazhagan et al., arXiv:1907.05019, 2019). Where grades are balanced too, their
    frequencies are exact, and those of the sites follow as far as grades allow.

    Attributes:
        epoch: Of the next iteration, from 0; the training loop sets it.

    Args:
        grades: One per photograph.
        batch_photographs: Photographs in a batch, over all processes.
        shuffle: True for training, False for evaluation.
        seed: Of the order.
        sampling: How often a photograph is drawn in an epoch; requires `shuffle` unless natural.
        num_epochs: Of the whole training; used by `decaying` only.
        sites: One per photograph, for the site temperature; None: all are of one site.
        site_temperature: 1 or more; 1 is natural.
        rank: This process.
        world_size: Number of processes.

    Raises:
        ParamsError: A shuffled batch has fewer than two photographs for each process.
        DataError: The data set has fewer than two photographs for each process.
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
        sites: Sequence[str] | None = None,
        site_temperature: float = 1.0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        minimum = MIN_PHOTOGRAPHS * world_size
        if shuffle and batch_photographs < minimum:
            raise ParamsError(
                f"a batch of {batch_photographs} photographs is too small for {world_size} processes: batch "
                f"normalisation needs {MIN_PHOTOGRAPHS} on each",
                where=f"candidates: batch_photographs {batch_photographs}",
                todo=f"raise batch_photographs to {minimum} or more, or train with fewer processes",
            )
        if shuffle and len(grades) < minimum:
            raise DataError(
                f"found {len(grades)} training photographs; {world_size} processes need at least {minimum}",
                where="the training part of the fold",
                todo="add photographs, or lower split.num_folds",
            )
        if not shuffle and (sampling != "natural" or site_temperature != 1):
            raise ValueError(f"{sampling} sampling, or a site temperature, requires shuffle")
        self._grades, self._batch = np.asarray(grades, dtype=np.int64), batch_photographs
        self._shuffle, self._seed, self._sampling = shuffle, seed, sampling
        self._site_factors = _site_factors(sites, site_temperature)
        self._num_epochs, self._rank, self._world_size = num_epochs, rank, world_size
        self._bounds = self._batch_bounds()
        self.epoch = 0

    def __len__(self) -> int:
        """Number of batches on this process; when shuffled, the same on all."""
        return len(self._bounds) if self._shuffle else len(self._bounds[self._rank :: self._world_size])

    def min_per_process(self, batch_number: int) -> int:
        """Photographs of a shuffled batch on the process that has fewest of them."""
        start, stop = self._bounds[batch_number]
        return (stop - start) // self._world_size

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = self._shuffled() if self._shuffle else np.arange(len(self._grades))
        repeats = Counter[int]()
        keys = []
        for position in order.tolist():
            keys.append(SampleKey(self.epoch, position, repeats[position]))
            repeats[position] += 1
        batches = [keys[start:stop] for start, stop in self._bounds]
        if self._shuffle:
            yield from (batch[self._rank :: self._world_size] for batch in batches)
        else:
            yield from batches[self._rank :: self._world_size]

    def _batch_bounds(self) -> list[tuple[int, int]]:
        """Start and stop of each batch, over all processes."""
        num = len(self._grades)
        starts = list(range(0, num, self._batch))
        if self._shuffle and len(starts) > 1 and num - starts[-1] < MIN_PHOTOGRAPHS * self._world_size:
            starts.pop()
        return list(itertools.pairwise([*starts, num]))

    def _shuffled(self) -> NDArray[np.int64]:
        """The order of this epoch, over all processes."""
        generator = np.random.default_rng([self._seed, self.epoch])
        order = np.arange(len(self._grades))
        balance = self._balance()
        if balance or self._site_factors is not None:
            order = _unequal(self._grades, balance, self._site_factors, generator)
        generator.shuffle(order)
        return order

    def _balance(self) -> float:
        """Where the class frequencies of this epoch lie between natural (0) and balanced (1)."""
        if self._sampling == "decaying":
            return max(0.0, 1 - self.epoch / (self._num_epochs - 1)) if self._num_epochs > 1 else 0.0
        return float(self._sampling == "balanced")


def _site_factors(sites: Sequence[str] | None, temperature: float) -> NDArray[np.float64] | None:
    """How much more often than naturally each photograph is drawn for its site, 1 on average; None: all alike."""
    if sites is None or temperature == 1:
        return None
    _, site_of, counts = np.unique(np.asarray(sites), return_inverse=True, return_counts=True)
    shares = counts ** (1 / temperature) / (counts ** (1 / temperature)).sum()
    return np.asarray((shares * len(sites) / counts)[site_of])


def _unequal(
    grades: NDArray[np.int64],
    balance: float,
    site_factors: NDArray[np.float64] | None,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Draws as many positions as there are photographs, by systematic sampling with unequal probabilities (Madow 1949).

    A photograph with an expected count of m is drawn ⌊m⌋ or ⌈m⌉ times, and so is each grade, and each site within it:
    the samples are spread over its photographs as evenly as possible.
    """
    factors = np.ones(len(grades)) if site_factors is None else site_factors
    of_grade = np.bincount(grades, weights=factors)
    balanced = len(grades) / (np.count_nonzero(of_grade) * of_grade[grades])
    expected = factors * ((1 - balance) + balance * balanced)
    order = generator.permutation(len(grades))
    order = order[np.lexsort((factors[order], grades[order]))]  # grade by grade, site by site, at random within
    marks = generator.random() + np.arange(len(grades))
    # the sum of `expected` may fall short of the last mark by rounding
    drawn = np.searchsorted(np.cumsum(expected[order]), marks, side="right").clip(max=len(grades) - 1)
    return np.asarray(order[drawn])
