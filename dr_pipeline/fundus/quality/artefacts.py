"""Light that does not come from the retina, or is kept from it: glare, haze, flare, lashes, shadows, blots.

A retina is lit smoothly, and two of its colours say so whatever the disease. Red is hardly taken by blood, so vessels,
haemorrhages and the macula are nearly absent from it; a lash, the lid's shadow or dirt on the lens darkens red as
much as green. Blue over red is low all over a retina and in exudates, which are yellow; stray light is whitish and
lifts it. The optic disc lifts it too, on 2 % of the area.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DARK_OFFSET = 8.0
# How far a cell may leave the smooth shading: log of red (a third of the light gone), blue over red.
_LOST_LIGHT, _STRAY_LIGHT = 0.3, 0.1
_CAP = 0.5  # of one cell's excess, so that area counts as well as depth
# Cauchy weights of robust regression, scale in the units of the map (Holland and Welsch, Commun. Stat. 1977).
_LOST_SCALE, _STRAY_SCALE = 0.1, 0.03
# The most that shading explains to either side of the map's middle: glare along half the rim would else be a lean.
_LOST_SHADING, _STRAY_SHADING = 0.6, 0.1
_REFITS = 3


def excess(red: NDArray[np.float32], blue: NDArray[np.float32], counted: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much light each cell lacks or has too much of, beyond what a retina's own shading explains.

    Args:
        red: (n, n) mean red level of each cell.
        blue: (n, n) mean blue level.
        counted: (n, n) cells to be judged.

    Returns:
        (n, n): 0 for most cells of a clean photograph, at most `_CAP` for each of the two; 0 where not counted.
    """
    lit = red + np.float32(_DARK_OFFSET)
    lost = -_departure(np.log(lit), counted, _LOST_SCALE, _LOST_SHADING)
    stray = _departure(blue / lit, counted, _STRAY_SCALE, _STRAY_SHADING)
    total = np.clip(lost - _LOST_LIGHT, 0, _CAP) + np.clip(stray - _STRAY_LIGHT, 0, _CAP)
    odd: NDArray[np.float32] = np.where(counted, total, 0).astype(np.float32)
    return odd


def _departure(
    cells: NDArray[np.float32], counted: NDArray[np.bool_], scale: float, most: float
) -> NDArray[np.float64]:
    """What is left of a map after its smooth shading: a lean and a vignette, fitted to the cells that agree."""
    shapes, values = _shading(cells.shape[0]), cells.astype(np.float64)
    judged, wanted = shapes[counted], values[counted]
    left = wanted - float(np.median(wanted))
    allowed = 3 * scale  # wide at first: the median knows nothing of the shading
    fitted: NDArray[np.floating[Any]] = np.zeros(judged.shape[1])
    for _ in range(_REFITS):
        weighted = judged / (1 + (left / allowed) ** 2)[:, None]
        fitted = np.linalg.solve(weighted.T @ judged + 1e-6 * np.eye(judged.shape[1]), weighted.T @ wanted)
        left, allowed = wanted - (judged @ fitted), scale
    shading = shapes @ fitted
    middle = np.median(shading[counted])
    departure: NDArray[np.float64] = values - np.clip(shading, middle - most, middle + most)
    return departure


@lru_cache(maxsize=2)
def _shading(cells: int) -> NDArray[np.float64]:
    """(cells, cells, 4): the shapes 1, x, y and x² + y² on [-1, 1]²."""
    x = (np.arange(cells) + 0.5) / cells * 2 - 1
    across, down = np.meshgrid(x, x)
    return np.stack([np.ones_like(across), across, down, across**2 + down**2], axis=-1)
