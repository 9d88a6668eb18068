"""Deals labels out anew, whole patients at a time: what chance would give."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Blocks that change places with one another, at least: fewer have too few ways to do so.
_MIN_STRATUM = 10


def dealt_labels(
    labels: NDArray[np.bool_], blocks: NDArray[np.int64], *, count: int, seed: int
) -> Iterator[NDArray[np.bool_]]:
    """Yields the labels in `count` random arrangements.

    Blocks change places with blocks of their own size, so that the labels of a patient stay together. Where a size is
    rare they do so with the next sizes too: the labels are then laid side by side, block after block.

    Args:
        labels: Shape (N,).
        blocks: The block of each, from 0 without gaps, shape (N,).
        count: How many arrangements.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    sizes = np.bincount(blocks)
    by_size = np.argsort(sizes, kind="stable")
    place = np.empty_like(by_size)
    place[by_size] = np.arange(len(by_size))
    records = np.argsort(place[blocks], kind="stable")
    laid, sizes = labels[records], sizes[by_size]
    strata = _strata(sizes)
    for _ in range(count):
        order = np.concatenate([rng.permutation(stratum) for stratum in strata])
        dealt = np.empty_like(laid)
        dealt[records] = laid[_records_of(order, sizes)]
        yield dealt


def _strata(sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Which blocks, sorted by size, may change places: those of one size, or of several until there are 10."""
    strata, start = [], 0
    for end in (np.flatnonzero(np.diff(sizes, append=-1)) + 1).tolist():
        if min(end - start, len(sizes) - end) >= _MIN_STRATUM or end == len(sizes):
            strata.append(np.arange(start, end))
            start = end
    return strata


def _records_of(order: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The records of blocks that lie side by side, block after block in another order."""
    starts, moved = np.cumsum(sizes) - sizes, sizes[order]
    shift = starts[order] - (np.cumsum(moved) - moved)
    return np.asarray(np.arange(sizes.sum()) + np.repeat(shift, moved))
