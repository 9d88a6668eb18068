"""The four quadrants in which lesions are counted: about the optic disc, upright by the axis from disc to fovea.

Fields 4 to 7 of the ETDRS protocol, in whose quadrants the 4-2-1 rule counts, meet in the disc: a vertical line through
its centre divides temporal from nasal ones, the horizontal through it superior from inferior ones (ETDRS Research
Group, report 10, Ophthalmology 1991;98:786). Here the axis from disc to fovea is that horizontal, so that a tilted
head counts alike. One photograph of 45° shows little of the nasal quadrants: what lies outside it is not counted.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Quadrant(StrEnum):
    """Where a lesion is."""

    SUPERIOR_TEMPORAL = "superior_temporal"
    INFERIOR_TEMPORAL = "inferior_temporal"
    SUPERIOR_NASAL = "superior_nasal"
    INFERIOR_NASAL = "inferior_nasal"


QUADRANTS = tuple(Quadrant)


def quadrants_of(points: NDArray[np.float64], disc: tuple[float, float], fovea: tuple[float, float]) -> list[Quadrant]:
    """The quadrant of each point, (N, 2) as x and y, of an upright picture; disc and fovea in the same pixels."""
    centre = np.array(disc)
    temporal = np.array(fovea) - centre
    # The axis, turned by a right angle to the picture's top.
    superior = np.array([temporal[1], -temporal[0]]) * (1 if temporal[0] > 0 else -1)
    from_disc = points - centre
    number = (from_disc @ superior < 0).astype(np.int64) + 2 * (from_disc @ temporal < 0)
    return [QUADRANTS[index] for index in number]
