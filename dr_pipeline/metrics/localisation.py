"""Whether a map points at lesions: pointing game and energy, with a centre prior to compare with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def centre_prior(height: int, width: int, *, x: float, y: float, radius_px: float) -> NDArray[np.float32]:
    """A map that knows no photograph: normal around the disc's centre, half its radius wide, 0 outside the disc."""
    across = (np.arange(width) + 0.5 - x) / radius_px
    down = (np.arange(height) + 0.5 - y) / radius_px
    squared = across[None, :] ** 2 + down[:, None] ** 2
    return np.where(squared <= 1, np.exp(-squared / (2 * _PRIOR_WIDTH**2)), 0).astype(np.float32)
