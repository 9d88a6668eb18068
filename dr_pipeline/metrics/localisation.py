"""Whether a map points at lesions: pointing game and energy, with a centre prior to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.bootstrap import bootstrap_sums
from dr_pipeline.metrics.intervals import clustered_proportion

# Zhang et al. (IJCV 2018;126:1084) allow 15 px in pictures 500 px wide, 6 % of half the width. This is half of that, a
# tenth of an optic disc in a field of 45 degrees.
TOLERANCE = 0.03
_PRIOR_WIDTH = 0.5


@dataclass(frozen=True)
class Localisation:
    """How a map of one photograph lies on its lesions.

    Attributes:
        hit: Whether its strongest place is a lesion.
        near: Whether a lesion lies within `TOLERANCE` of the disc's radius of it.
        energy: The part of the map, where it is above 0, that lies on lesions; nan where it is nowhere above 0.
    """

    hit: bool
    near: bool
    energy: float


def localise(found: NDArray[np.float32], lesions: NDArray[np.bool_], *, radius_px: float) -> Localisation:
    """Compares a map with a mask of lesions.

    Args:
        found: The map, (height, width).
        lesions: Likewise; some pixel is a lesion.
        radius_px: Of the retinal disc.

    Raises:
        ValueError: The shapes differ, the map is not finite, or there is no lesion.
    """
    if found.shape != lesions.shape:
        raise ValueError(f"the map is {found.shape}, the mask of lesions {lesions.shape}")
    if not lesions.any() or not np.isfinite(found).all():
        raise ValueError("there is no lesion, or the map is not finite")
    row, column = np.unravel_index(int(np.argmax(found)), found.shape)
    rows, columns = np.nonzero(lesions)
    distance = np.hypot(rows - row, columns - column).min()
    positive = np.clip(found, 0, None)
    total = float(positive.sum(dtype=np.float64))
    energy = float(positive[lesions].sum(dtype=np.float64)) / total if total > 0 else np.nan
    return Localisation(bool(lesions[row, column]), bool(distance <= TOLERANCE * radius_px), energy)


def localisation_figures(
    results: Sequence[Localisation], groups: Sequence[str], *, replicates: int, seed: int, confidence: float
) -> dict[str, Any]:
    """Pointing game, without and with tolerance, and mean energy, each with interval and n.

    Args:
        results: Of N photographs.
        groups: The patient of each, or whatever stays together; N names.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Such as 0.95.
    """
    energy = np.array([result.energy for result in results])
    defined = np.isfinite(energy)
    hits = {name: np.array([getattr(result, name) for result in results], dtype=np.bool_) for name in ("hit", "near")}
    mean = bootstrap_sums(
        lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1),
        np.stack([np.where(defined, energy, 0), defined], axis=1),
        groups,
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )
    return {
        "pointing_game": clustered_proportion(hits["near"], groups, confidence).to_dict(),
        "pointing_game_exact": clustered_proportion(hits["hit"], groups, confidence).to_dict(),
        "energy": mean.to_dict(),
    }


def centre_prior(height: int, width: int, *, x: float, y: float, radius_px: float) -> NDArray[np.float32]:
    """A map that knows no photograph: normal around the disc's centre, half its radius wide, 0 outside the disc."""
    across = (np.arange(width) + 0.5 - x) / radius_px
    down = (np.arange(height) + 0.5 - y) / radius_px
    squared = across[None, :] ** 2 + down[:, None] ** 2
    return np.where(squared <= 1, np.exp(-squared / (2 * _PRIOR_WIDTH**2)), 0).astype(np.float32)


def rank_correlation(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """Spearman's correlation of two arrays of one shape, ties with their mean rank; nan where one is constant."""
    ranks = np.stack([_ranks(np.ravel(values)) for values in (one, other)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=1)).prod()
    return float((ranks[0] * ranks[1]).sum() / spread) if spread > 0 else float("nan")


def _ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], np.float64)
