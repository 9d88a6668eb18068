"""The grid on which quality is judged: one side for every canvas, cut into cells, and the part of the disc that counts.

Every canvas is resized to the same side, so that neither the file's resolution nor the canvas's side changes a
measure.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.opencv import cv2

SIDE_PX = 256
CELLS = 32  # a side; a cell of 8 px is a 32nd of the disc's width, under half an optic disc's
# Only the disc within this share of its radius is judged: the rim is dim, and half of its pixels are ground.
_CORE = 0.95


@dataclass(frozen=True, eq=False)
class Core:
    """The judged part of every canvas.

    Attributes:
        mask: (SIDE_PX, SIDE_PX), 255 or 0.
        share: (CELLS, CELLS) of each cell.
        quadrant: (CELLS, CELLS) 0 … 3.
        x: (1, CELLS) the cells' middles in radii of the disc.
        seen: (4,) the most that can be seen in each quadrant.
    """

    mask: NDArray[np.uint8]
    share: NDArray[np.float32]
    quadrant: NDArray[np.int64]
    x: NDArray[np.float64]
    seen: NDArray[np.float64]


@lru_cache(maxsize=1)
def core() -> Core:
    """The one core, made once."""
    offset = np.arange(SIDE_PX) + 0.5 - SIDE_PX / 2
    inside = offset[None, :] ** 2 + offset[:, None] ** 2 <= (_CORE * disc_radius_px(SIDE_PX)) ** 2
    mask: NDArray[np.uint8] = inside.astype(np.uint8) * np.uint8(255)
    share = cell_means(mask) / np.float32(255)
    second = np.arange(CELLS) >= CELLS // 2
    quadrant = second[None, :] + 2 * second[:, None]
    x = ((np.arange(CELLS) + 0.5) / CELLS * SIDE_PX - SIDE_PX / 2) / disc_radius_px(SIDE_PX)
    return Core(mask, share, quadrant, x[None, :], _per_quadrant(share, quadrant))


def cell_means(plane: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each cell: INTER_AREA by a whole factor is just that. Bytes keep their fractions.

    Args:
        plane: (SIDE_PX, SIDE_PX).

    Returns:
        (CELLS, CELLS).
    """
    if plane.dtype == np.uint8:
        plane = cv2.multiply(plane, 1.0, dtype=cv2.CV_32F)
    means: NDArray[np.float32] = cv2.resize(plane, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return means


def where_seen(share: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """How much is seen, and how far what is not seen pulls to one side.

    Args:
        share: (CELLS, CELLS) of each cell that is judged and seen.

    Returns:
        (4,) cells seen in each quadrant; and the share of the judged disc that is not seen, times the distance of
        its centroid from the disc's centre in radii.
    """
    judged = core()
    missing = (judged.share - share) / judged.share.sum()
    pull = float(np.hypot((missing * judged.x).sum(), (missing * judged.x.T).sum()))
    return _per_quadrant(share, judged.quadrant), pull


def _per_quadrant(share: NDArray[np.float32], quadrant: NDArray[np.int64]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.bincount(quadrant.ravel(), share.ravel(), 4).astype(np.float64)
    return sums
