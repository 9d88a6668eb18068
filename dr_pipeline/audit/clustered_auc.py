"""Area under the ROC curve of clustered data: its value, its interval, and permutations of whole patients' labels."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.intervals import Estimate, student_quantile

# Blocks of either kind, at least: with fewer, an interval of 95 % holds the truth in 70 to 90 % of the cases.
_MIN_BLOCKS_OF_A_KIND = 8
_ROUNDING = 1e-9
# Blocks that are permuted among one another, at least: fewer have too few permutations.
_MIN_STRATUM = 10


def auc_of_cells(scores: NDArray[np.float64], positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Area under the curve from counts per distinct score; nan where there is only one kind.

    Counts of equal scores are summed first, so that the sort need not be stable.

    Args:
        scores: Shape (C,).
        positives: How many positives have each score, shape (C,).
        negatives: How many negatives, shape (C,).
    """
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    level_positives = np.add.reduceat(positives[order], starts)
    level_negatives = np.add.reduceat(negatives[order], starts)
    pairs = float(level_positives.sum() * level_negatives.sum())
    below = np.cumsum(level_negatives) - level_negatives / 2
    return float(level_positives @ below) / pairs if pairs else math.nan


def clustered_auc(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], blocks: NDArray[np.int64], confidence: float
) -> Estimate:
    """The area with its interval where photographs of a block are correlated (Obuchowski, Biometrics 1997;53:567).

    Each photograph's placement among those of the other kind, less the area, is its contribution to the error of the
    area. Contributions are summed by block; the sums give the variance. Student's t has the degrees of freedom of the
    rarer kind of block.

    Args:
        scores: Shape (N,), higher means more likely positive.
        positive: Shape (N,).
        blocks: The block of each, from 0, shape (N,).
        confidence: Such as 0.95.

    Returns:
        nan where there is only one kind. No interval where fewer than eight blocks hold positives, or negatives, or
        where the blocks do not differ, as with an area of 1.
    """
    levels, cell = np.unique(scores, return_inverse=True)
    positives = np.bincount(cell[positive], minlength=len(levels)).astype(np.float64)
    negatives = np.bincount(cell[~positive], minlength=len(levels)).astype(np.float64)
    area = auc_of_cells(levels, positives, negatives)
    of_a_kind = min(len(np.unique(blocks[which])) for which in (positive, ~positive))
    if not math.isfinite(area) or of_a_kind < _MIN_BLOCKS_OF_A_KIND:
        return Estimate(area, math.nan, math.nan, len(scores))
    below = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    above = (positives.sum() - np.cumsum(positives) + positives / 2) / positives.sum()
    shares = np.where(positive, (below[cell] - area) / positives.sum(), (above[cell] - area) / negatives.sum())
    sums, count = np.bincount(blocks, weights=shares), len(np.unique(blocks))
    half = student_quantile(0.5 + confidence / 2, of_a_kind - 1) * math.sqrt(count / (count - 1) * float(sums @ sums))
    if half < _ROUNDING:
        return Estimate(area, math.nan, math.nan, len(scores))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), len(scores))


def permute_labels(
    labels: NDArray[np.bool_], blocks: NDArray[np.int64], *, count: int, seed: int
) -> Iterator[NDArray[np.bool_]]:
    """Yields `count` permutations of the labels that keep those of a block (a patient) together.

    Blocks are exchanged with blocks of their own size. Where a size is rare, they are exchanged with the next sizes
    too: the labels are then laid out block after block.

    Args:
        labels: Shape (N,).
        blocks: The block of each, from 0 without gaps, shape (N,).
        count: Number of permutations.
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
        permuted = np.empty_like(laid)
        permuted[records] = laid[_records_of(order, sizes)]
        yield permuted


def _strata(sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Which blocks, sorted by size, are permuted together: those of one size, or of several until there are 10."""
    strata, start = [], 0
    for end in (np.flatnonzero(np.diff(sizes, append=-1)) + 1).tolist():
        if min(end - start, len(sizes) - end) >= _MIN_STRATUM or end == len(sizes):
            strata.append(np.arange(start, end))
            start = end
    return strata


def _records_of(order: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The records, block after block, in a new order of the blocks."""
    starts, moved = np.cumsum(sizes) - sizes, sizes[order]
    shift = starts[order] - (np.cumsum(moved) - moved)
    return np.asarray(np.arange(sizes.sum()) + np.repeat(shift, moved))
