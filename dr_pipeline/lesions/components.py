"""Connected components of a kind's probabilities: what is counted as one lesion, and how large it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2

# A contour runs through the centres of a component's outermost pixels. Enlarged by this factor first, it runs an eighth
# of a pixel inside the component's edge instead of a half.
_ENLARGED = 4
_OUTLINE_TOLERANCE_PX = 0.5  # an outline with fewer corners leaves the true one by this much at most
_EIGHT_NEIGHBOURS = 8


@dataclass(frozen=True, eq=False)
class Component:
    """One connected component, in px of the canvas; (0, 0) is the outer corner of the first pixel.

    Attributes:
        x: Of its centroid.
        y: Likewise.
        area: px².
        longest: Its largest diameter (Feret's), px.
        probability: The largest in it.
        outline: Corners of its outer outline, float64 (n, 2).
    """

    x: float
    y: float
    area: int
    longest: float
    probability: float
    outline: NDArray[np.float64]

    @property
    def diameter(self) -> float:
        """Of the circle of the same area, px."""
        return float(np.sqrt(4 * self.area / np.pi))


def find_components(
    probability: NDArray[np.float32], *, threshold: float, min_pixels: int, min_peak: float = 0.0
) -> list[Component]:
    """The components of a kind, from the top of the canvas to its bottom; pixels that touch at a corner are connected.

    Args:
        probability: (S, S).
        threshold: A pixel with at least this probability shows the kind.
        min_pixels: Smaller components are left out.
        min_peak: Components whose surest pixel has a lower probability are left out.
    """
    shown = (probability >= threshold).astype(np.uint8)
    number, labels, stats, centroids = cv2.connectedComponentsWithStats(shown, connectivity=_EIGHT_NEIGHBOURS)
    found = []
    for label in range(1, number):  # 0 is the ground
        left, top, width, height, area = (int(value) for value in stats[label])
        if area < min_pixels:
            continue
        box = np.s_[top : top + height, left : left + width]
        inside = labels[box] == label
        peak = probability[box][inside].max()
        if peak < min_peak:
            continue
        outline = _outline(inside) + np.array([left, top])
        found.append(
            Component(
                x=float(centroids[label, 0]) + 0.5,
                y=float(centroids[label, 1]) + 0.5,
                area=area,
                longest=_longest(outline),
                probability=float(peak),
                outline=outline,
            )
        )
    return found


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The outer outline of the one component that a box shows, (n, 2) in px of the box."""
    enlarged = np.repeat(np.repeat(inside.astype(np.uint8), _ENLARGED, axis=0), _ENLARGED, axis=1)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = cv2.approxPolyDP(contours[0], _OUTLINE_TOLERANCE_PX * _ENLARGED, closed=True)
    return np.asarray((corners[:, 0].astype(np.float64) + 0.5) / _ENLARGED)


def _longest(outline: NDArray[np.float64]) -> float:
    corners = cv2.convexHull(outline.astype(np.float32))[:, 0].astype(np.float64)
    return float(np.hypot(*(corners[:, None] - corners[None]).transpose(2, 0, 1)).max())
