"""Whether a picture as red as a retina has the detail and the colours of one: of wood, leather, a sunset it has not.

Red light passes through blood and returns from deep in the wall of the eye. In red a retina is therefore smooth,
whatever green shows of its vessels, and its hue varies more than its brightness does: blood, pigment, optic disc and
macula have hues of their own. A surface has its detail in red as in green, and a scene has things whose hues change
from one to the next. This is no evidence against a retina, since a camera's noise or a disease can be unusual too: a
person decides.

The limits were set on 500 photographs of eleven cameras (IDRiD and `shared/data/cameras`) and their tinted, darkened,
squashed and compressed copies, and on drawn photographs; in brackets is the most extreme of either.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2

UNLIKE_TISSUE = "unlike_tissue"

# Sides of box means in px of a plane of 128 px: a vessel's width and its surroundings.
_SIDE_PX, _VESSEL_PX, _COARSE_PX = 128, 3, 11
# Added to levels where something is measured relative to them, so that unlit noise does not count.
_DARK_OFFSET = 8.0
_LEAST_DETAIL = 0.002  # of red where it is clipped
_MAX_RED_DETAIL, _MIN_COLOUR_PER_DETAIL = 0.054, 2.3  # [0.034, 4.6; 0.050, 2.5]
_MAX_HUE_RELIEF, _MAX_BLUE = 0.175, 0.35  # [0.160, 0.26; 0.154, 0]


@dataclass(frozen=True)
class Tissue:
    """What distinguishes tissue from other red things.

    Attributes:
        red_detail: Median over cells of red's detail of vessel width, relative to its level.
        colour_per_detail: Deviation of the colour (as log ratios of red to green and green to blue) over `red_detail`.
        hue_relief: Deviation of the log ratio of red to green from a quadratic surface.
        blue: Fraction of the cells whose blue exceeds red.
    """

    red_detail: float
    colour_per_detail: float
    hue_relief: float
    blue: float


def detail_of_red(red: NDArray[np.uint8], cells: int) -> NDArray[np.float32]:
    """(cells, cells): red's mean absolute detail of vessel width, relative to its local level.

    Args:
        red: (n, n), n a multiple of 128.
        cells: Per side.
    """
    plane = cv2.resize(red, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    near, coarse = (cv2.blur(plane, (px, px)) for px in (_VESSEL_PX, _COARSE_PX))
    relative = cv2.divide(cv2.absdiff(near, coarse), cv2.add(coarse, _DARK_OFFSET))
    means: NDArray[np.float32] = cv2.resize(relative, (cells, cells), interpolation=cv2.INTER_AREA)
    return means


def measure_tissue(
    rgb: NDArray[np.float32], counted: NDArray[np.bool_], full: NDArray[np.bool_], red_detail: NDArray[np.float32]
) -> Tissue:
    """Measures the counted cells, and the detail of those that are wholly visible.

    Args:
        rgb: (n, n, 3) mean levels.
        counted: (n, n), at least one.
        full: (n, n).
        red_detail: (n, n), see `detail_of_red`.
    """
    levels = rgb[counted]
    logs = np.log(levels + np.float32(_DARK_OFFSET))
    red_green, green_blue = logs[:, 0] - logs[:, 1], logs[:, 1] - logs[:, 2]
    detail = float(np.median(red_detail[full])) if full.any() else 0.0
    return Tissue(
        red_detail=detail,
        colour_per_detail=float(np.hypot(red_green.std(), green_blue.std())) / max(detail, _LEAST_DETAIL),
        hue_relief=_relief(red_green, counted),
        blue=float(np.mean(levels[:, 2] > levels[:, 0])),
    )


def is_unlike(tissue: Tissue) -> bool:
    """Whether it is the detail or the colours of something else than a retina."""
    surface = tissue.red_detail > _MAX_RED_DETAIL or tissue.colour_per_detail < _MIN_COLOUR_PER_DETAIL
    return surface or tissue.hue_relief > _MAX_HUE_RELIEF or tissue.blue > _MAX_BLUE


def _relief(values: NDArray[np.float32], counted: NDArray[np.bool_]) -> float:
    """Deviation of the counted cells' values from a quadratic surface."""
    design = _quadratic_shapes(len(counted))[counted]
    residual = values - design @ np.linalg.solve(design.T @ design + 1e-6 * np.eye(design.shape[1]), design.T @ values)
    return float(residual.std())


@lru_cache(maxsize=1)
def _quadratic_shapes(cells: int) -> NDArray[np.float64]:
    """(cells, cells, 6): the shapes 1, x, y, x², xy and y² on [-1, 1]²."""
    x = (np.arange(cells) + 0.5) / cells * 2 - 1
    across, down = np.meshgrid(x, x)
    return np.stack([np.ones_like(across), across, down, across**2, across * down, down**2], axis=-1)
