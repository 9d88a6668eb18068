"""The area under the ROC curve of few distinct scores for many photographs, with an interval that knows of patients."""

import math

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.intervals import Estimate, student_quantile

# Blocks of either kind, at least: with fewer, an interval of 95 % holds the truth in 70 to 90 % of the cases.
_MIN_BLOCKS_OF_A_KIND = 8
_ROUNDING = 1e-9


def auc_of_cells(scores: NDArray[np.float64], positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Area under the curve where photographs with one score are counted up; nan where there is only one kind.

    Equal scores are summed before anything else, so that the quickest sort will do, stable or not.

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
    """The area with its interval where photographs of a block are alike (Obuchowski, Biometrics 1997;53:567).

    Each photograph's placement among those of the other kind, less the area, is its share in the area's error; shares
    are added up by block and the blocks' sums give the variance; Student's t for the rarer kind of block. One sort,
    where a bootstrap needs a thousand.

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
