"""Whether a region of a picture has the shape of a field of view, and which circle or ellipse it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.circle import fit_circle
from dr_pipeline.fundus.ellipse import Ellipse, fit_ellipse
from dr_pipeline.fundus.opencv import cv2

Contour = NDArray[np.int32]

# Region and fitted shape overlap within the frame at least by this fraction of their union.
MIN_OVERLAP = 0.75
# The shape is round if its width and height differ by less: of 413 IDRiD photographs and 86 of nine other cameras the
# round ones are within 1.3 %, but for two whose rim is under flare (2.5 and 1.4 %). 4 : 3 made 5 : 4 is 6 %.
_MIN_SQUASH = 0.04
# An ellipse has one more free parameter than a circle. Beside a circle that fits it must explain clearly more of the
# edge (shadows eat into a round field's rim); a circle that explains this much of the edge, or covers this much of the
# region, needs no rival, and no time for one.
_CIRCLE_SUFFICES, _OVERLAP_SUFFICES = 0.9, 0.985
_ELLIPSE_EXPLAINS, _ELLIPSE_EXPLAINS_BESIDE_CIRCLE, _ELLIPSE_GAIN = 0.6, 0.85, 0.1
_MIN_ELLIPSE_OVERLAP = 0.85
# A side of the region's bounding box that the region touches along more than this fraction is where the field was cut.
_CUT_FRACTION = 0.35


def regions(mask: NDArray[np.uint8]) -> list[Contour]:
    """Outlines of the mask's regions, largest first; holes belong to the region around them."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outlines: list[Contour] = sorted(contours, key=cv2.contourArea, reverse=True)
    return outlines


def filled(outline: Contour, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(height, width): the region inside an outline."""
    mask: NDArray[np.uint8] = cv2.drawContours(np.zeros(shape[:2], np.uint8), [outline], -1, 1, cv2.FILLED)
    return mask.view(np.bool_)


def fit_field(region: NDArray[np.bool_], min_overlap: float = MIN_OVERLAP) -> Ellipse | None:
    """The circle or, where the picture was certainly squashed or stretched, the ellipse that a region is; else None.

    Args:
        region: (height, width); a region cut by the frame counts as whole outside.
        min_overlap: Of region and shape within the frame, as a fraction of their union.
    """
    edges = Edges.of(region)
    x, y = edges.x, edges.y
    fitted = fit_circle(x, y)
    circle = Ellipse(fitted.x, fitted.y, fitted.radius, fitted.radius) if fitted else None
    covered = edges.overlap(circle) if circle else 0.0
    if covered < min_overlap:
        circle = None
    explained = circle.agreement(x, y) if circle else 0.0
    if explained >= _CIRCLE_SUFFICES or covered >= _OVERLAP_SUFFICES:
        return circle
    needed = max(_ELLIPSE_EXPLAINS_BESIDE_CIRCLE, explained + _ELLIPSE_GAIN) if circle else _ELLIPSE_EXPLAINS
    if needed > 1:
        return circle
    ellipse = fit_ellipse(x, y)
    is_squashed = (
        ellipse is not None
        and abs(ellipse.aspect - 1) >= _MIN_SQUASH
        and ellipse.agreement(x, y) >= needed
        and edges.overlap(ellipse) >= max(_MIN_ELLIPSE_OVERLAP, min_overlap)
    )
    return ellipse if is_squashed else circle


@dataclass(frozen=True, eq=False)
class Edges:
    """A region's edge, as far as it is one.

    Attributes:
        region: (height, width).
        box: (left, top, right, bottom): the frame, or where a straight side inside it (a letterbox bar) cut the region.
        x: (N,) px, of its first and last pixel in each row and column within the box.
        y: (N,) px.
    """

    region: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @classmethod
    def of(cls, region: NDArray[np.bool_]) -> "Edges":
        """Finds the edge of a region, which must not be empty."""
        box: list[tuple[int, int]] = []
        points: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        for lines_of in (region, region.T):
            lines = np.flatnonzero(lines_of.any(axis=1))
            length = lines_of.shape[1]
            first = lines_of[lines].argmax(axis=1)
            last = length - lines_of[lines, ::-1].argmax(axis=1)  # the outer side of the last pixel
            start, end = _cut(first), length - _cut(length - last)
            box.append((start, end))
            for edge, is_edge in ((first, first > start), (last, last < end)):
                points.append((edge[is_edge].astype(np.float64), lines[is_edge] + 0.5))
        (left, right), (top, bottom) = box
        x = np.concatenate([points[0][0], points[1][0], points[2][1], points[3][1]])
        y = np.concatenate([points[0][1], points[1][1], points[2][0], points[3][0]])
        return cls(region, (left, top, right, bottom), x, y)

    def overlap(self, shape: Ellipse) -> float:
        """Intersection over union of shape and region, within the box."""
        left, top, right, bottom = self.box
        inside = shape.inside(self.region.shape)[top:bottom, left:right]
        region = self.region[top:bottom, left:right]
        union = np.count_nonzero(inside | region)
        return np.count_nonzero(inside & region) / union if union else 0.0


def _cut(edge: NDArray[np.intp]) -> int:
    """Where a region was cut on its first side: at the frame, 0, or at a straight side inside it."""
    outermost = int(edge.min())
    is_straight = np.count_nonzero(edge <= outermost + 1) > _CUT_FRACTION * len(edge)
    return outermost + 1 if outermost > 0 and is_straight else 0
