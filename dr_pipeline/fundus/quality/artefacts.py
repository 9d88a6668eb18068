"""Detects light artefacts: glare, haze, flare, eyelashes, shadows, dirt on the lens.

A retina is lit smoothly, and two of its colours show this in health and disease. Blood hardly absorbs red, so vessels,
haemorrhages and the macula are nearly absent from it; an eyelash, the lid's shadow or dirt on the lens darkens red as
much as green. The ratio of blue to red is low all over a retina and in exudates, which are yellow; stray light is
whitish and raises it. The optic disc raises it too, on 2 % of the area.

What is alike in all directions is the camera's: many put a dim or bluish ring along the rim of every field. It is
removed before the artefacts, which are one-sided, are measured.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DARK_OFFSET = 8.0
# Tolerated departure from smooth shading: log of red (a third of the light lost), blue over red.
_LOST_LIGHT, _STRAY_LIGHT = 0.3, 0.1
_CAP = 0.5  # per cell, so that area counts as well as depth
# Cauchy weights of robust regression, scale in the units of the map (Holland and Welsch, Commun. Stat. 1977).
_LOST_SCALE, _STRAY_SCALE = 0.1, 0.03
# Limit of the fitted shading to either side of its median; otherwise glare along half the rim would pass as a gradient.
_LOST_SHADING, _STRAY_SHADING = 0.6, 0.1
_REFITS = 3
# The camera's ring: bands of the disc from this radius on, each at least one cell wide.
_RING_FROM, _RING_BANDS, _MIN_BAND_CELLS = 0.75, 4, 8
# Of the directions: so many show the ring without an artefact.
_RING_QUANTILE = 0.35


def artefact_light(
    red: NDArray[np.float32], blue: NDArray[np.float32], counted: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Lost plus stray light of each cell, beyond what a retina's smooth shading explains.

    Args:
        red: (n, n) mean red level of each cell.
        blue: (n, n) mean blue level of each cell.
        counted: (n, n) cells to assess.

    Returns:
        (n, n): 0 for most cells of a clean photograph, at most `_CAP` for each of the two; 0 where not counted.
    """
    lit = red + np.float32(_DARK_OFFSET)
    lost = _without_ring(-_departure(np.log(lit), counted, _LOST_SCALE, _LOST_SHADING), counted)
    stray = _without_ring(_departure(blue / lit, counted, _STRAY_SCALE, _STRAY_SHADING), counted)
    total = np.clip(lost - _LOST_LIGHT, 0, _CAP) + np.clip(stray - _STRAY_LIGHT, 0, _CAP)
    light: NDArray[np.float32] = np.where(counted, total, 0).astype(np.float32)
    return light


def _departure(
    cells: NDArray[np.float32], counted: NDArray[np.bool_], scale: float, max_shading: float
) -> NDArray[np.float64]:
    """The residual after smooth shading: a gradient and a vignette, fitted robustly to the counted cells."""
    shapes, values = _shading_shapes(cells.shape[0]), cells.astype(np.float64)
    design, target = shapes[counted], values[counted]
    residual = target - float(np.median(target))
    width = 3 * scale  # wide at first, since the median ignores the shading
    coefficients: NDArray[np.floating[Any]] = np.zeros(design.shape[1])
    for _ in range(_REFITS):
        weighted = design / (1 + (residual / width) ** 2)[:, None]
        coefficients = np.linalg.solve(weighted.T @ design + 1e-6 * np.eye(design.shape[1]), weighted.T @ target)
        residual, width = target - (design @ coefficients), scale
    shading = shapes @ coefficients
    median = np.median(shading[counted])
    departure: NDArray[np.float64] = values - np.clip(shading, median - max_shading, median + max_shading)
    return departure


def _without_ring(excess: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The excess less what most directions share in each band of the rim."""
    excess = excess.copy()
    for band in _rim_bands(excess.shape[0]):
        cells = excess[band & counted]
        if len(cells) >= _MIN_BAND_CELLS:
            place = int(_RING_QUANTILE * len(cells))
            excess[band] -= max(0.0, float(np.partition(cells, place)[place]))
    return excess


@lru_cache(maxsize=2)
def _rim_bands(cells: int) -> tuple[NDArray[np.bool_], ...]:
    """`_RING_BANDS` masks (cells, cells): rings from `_RING_FROM` of the radius outwards."""
    x = (np.arange(cells) + 0.5) / cells * 2 - 1
    band = (np.hypot(x[None, :], x[:, None]) - _RING_FROM) / (1 - _RING_FROM) * _RING_BANDS
    return tuple((band >= number) & (band < number + 1) for number in range(_RING_BANDS))


@lru_cache(maxsize=2)
def _shading_shapes(cells: int) -> NDArray[np.float64]:
    """(cells, cells, 4): the shapes 1, x, y and x² + y² on [-1, 1]²."""
    x = (np.arange(cells) + 0.5) / cells * 2 - 1
    across, down = np.meshgrid(x, x)
    return np.stack([np.ones_like(across), across, down, across**2 + down**2], axis=-1)
