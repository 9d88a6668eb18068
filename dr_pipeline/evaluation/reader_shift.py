"""How another reading centre would have graded: one border between two grades moved, pure and seeded.

Reading centres agree on the order of severity better than on its borders. Which photographs a moved border affects is
not known, so they are drawn, without regard to the network's answers. At strength 1 a border moved up or down merges
two grades, which is how a coarser scale differs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.schema import GRADES


@dataclass(frozen=True)
class ReaderShift:
    """A border that another centre draws elsewhere.

    Attributes:
        border: Between the grades `border` - 1 and `border`; 1 … 4.
        up: True: photographs of grade `border` are called `border` - 1, since more is asked for that grade. False:
            those of `border` - 1 are called `border`.
        strength: The fraction of that grade's photographs which are called otherwise, 0 … 1.

    Raises:
        ValueError: The border or the strength is out of range.
    """

    border: int
    up: bool
    strength: float

    def __post_init__(self) -> None:
        if self.border not in GRADES[1:] or not 0 <= self.strength <= 1:
            raise ValueError(f"border {self.border} is not in 1 … 4, or strength {self.strength} not in 0 … 1")

    @property
    def name(self) -> str:
        """Such as `border_2_up`."""
        return f"border_{self.border}_{'up' if self.up else 'down'}"

    def regrade(self, grades: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
        """The grades by that centre; equal seeds move the same photographs, and a greater strength also others.

        Args:
            grades: Shape (N,), 0 … 4.
            seed: Of the draw.
        """
        old, new = (self.border, self.border - 1) if self.up else (self.border - 1, self.border)
        affected = np.random.default_rng(seed).permutation(np.flatnonzero(grades == old))
        regraded = grades.copy()
        regraded[affected[: round(self.strength * len(affected))]] = new
        return regraded
