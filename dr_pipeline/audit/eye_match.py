"""Whether two photographs show one retina.

Features that agree on one shift, rotation and scale say how the photographs lie on one another. Strangers have such
features too, since every retina has an optic disc with arcades. The photographs laid on one another decide: vessels
of one retina coincide.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.image_similarity import SIDE_PX as CONTRAST_PX
from dr_pipeline.audit.image_similarity import correlation
from dr_pipeline.audit.retinal_features import SIDE_PX, RetinalFeatures, squared_distances
from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.opencv import cv2

# Distinct places that must agree before the photographs are laid on one another.
MIN_POINTS = 5
# So many must agree where each is merely the other's nearest, not by far: few vessels of a dark, hazy or dusty
# photograph are distinct.
MIN_POINTS_NEAREST = 7
# Of those at rest as many must agree: 40 spots of dust and a scratch, drawn on the haziest photographs, give up to 35.
MIN_POINTS_AT_REST = 45
# Laid on one another in 1,653 ways, strangers and mirror images of IDRiD and ten cameras correlate by at most 0.32 if
# not turned; pairs of one eye in IDRiD, some of other years, by 0.64 or more. Among 5,000 views, two of some 40,000
# pairs of drawn strangers reached 0.43; 3 of 188 retakes of 30° windows and 1 of 188 of whole fields lie below this.
MIN_CORRELATION = 0.45
# A retina resembles its own mirror image across the line from disc to fovea: of mirrored photographs, which stand for
# fellow eyes, one lies upside down on its original with 0.42. Cameras are rarely turned this far.
MIN_CORRELATION_TURNED = 0.6
_TURNED_DEG = 45
# A match is distinct if its distance is below this fraction of the second nearest's, in both directions.
_MAX_RATIO = 0.9
# Largest distance between a point and its partner after the transform, for a retina is no plane.
_TOLERANCE_PX = 4.0
# Between fields of 30° and 50° the scale is 1.7.
_MIN_SCALE, _MAX_SCALE = 0.5, 2.0
# A mark of the camera: the photographs as they lie correlate by this in a window of this sigma (px of the contrasts),
# though one must be moved to lie on the other. The margin around it is for what the local contrast makes of its edge.
_MARK_CORRELATION, _MARK_PX = 0.8, 1.5
# Likewise the least variance of both in that window; of all contrasts it is about 1.
_MARK_STRENGTH = 0.5
_MARK_MARGIN = np.ones((5, 5), np.uint8)
# A point is at rest if it moves by at most this. At 2.5 px, the dust of two strangers was found a little beside itself
# and then lay on itself.
_REST_PX = 5.0
_ITERATIONS, _CONFIDENCE = 1000, 0.999


@dataclass(frozen=True)
class Alignment:
    """How one photograph lies on another.

    Attributes:
        matrix: (2, 3): maps the points of the first photograph to those of the second, px of the features' canvas.
        points: How many distinct places agree on it.
    """

    matrix: NDArray[np.float64]
    points: int

    @property
    def scale(self) -> float:
        """How much larger the second photograph shows the retina."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @property
    def rotation_deg(self) -> float:
        """From −180 to 180."""
        return float(np.degrees(np.arctan2(self.matrix[1, 0], self.matrix[0, 0])))

    @property
    def min_correlation(self) -> float:
        """What the photographs must reach when laid on one another."""
        return MIN_CORRELATION_TURNED if abs(self.rotation_deg) > _TURNED_DEG else MIN_CORRELATION

    @property
    def shift(self) -> float:
        """How far the centre moves, as a fraction of the field's diameter."""
        centre = np.full(2, (SIDE_PX - 1) / 2)
        moved = self.matrix[:, :2] @ centre + self.matrix[:, 2]
        return float(np.hypot(*(moved - centre))) / (2 * disc_radius_px(SIDE_PX))


def alignments(one: RetinalFeatures, other: RetinalFeatures) -> Iterator[Alignment]:
    """The ways in which two photographs may show one retina: none to three.

    A camera's own marks (dust, a scratch, a printed sign) lie at one place in all its photographs. Features that move
    are therefore tried first, without those at rest; with them, more must agree.
    """
    first, second, distinct = _mutual_matches(one.descriptors, other.descriptors)
    a, b = one.points[first], other.points[second]
    moving = np.hypot(*(b - a).T) > _REST_PX
    for chosen, at_least in (
        (moving & distinct, MIN_POINTS),
        (moving, MIN_POINTS_NEAREST),
        (distinct, MIN_POINTS_AT_REST),
    ):
        alignment = _consensus(a[chosen], b[chosen], at_least)
        if alignment is not None:
            yield alignment


def aligned_correlation(alignment: Alignment, one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The correlation of two photographs laid on one another, without the camera's marks.

    Args:
        alignment: Maps the first to the second.
        one: Its `image_similarity.features`.
        other: Likewise.

    Returns:
        See `image_similarity.correlation`.
    """
    matrix = alignment.matrix.copy()
    matrix[:, 2] *= CONTRAST_PX / SIDE_PX
    retina = 1 - _camera_marks(matrix, one, other)
    moved = cv2.warpAffine(one * retina, matrix, (CONTRAST_PX, CONTRAST_PX), flags=cv2.INTER_LINEAR)
    return correlation(moved, other * retina, alignment.min_correlation)


def _camera_marks(
    matrix: NDArray[np.float64], one: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """(128, 128): 1 where dust, a scratch or a printed sign lies at one place in two contrasts, else 0.

    Where the matrix leaves the retina at rest, likeness is no sign of a mark.
    """
    between, first, second = (
        cv2.GaussianBlur(product, (0, 0), _MARK_PX) for product in (one * other, one * one, other * other)
    )
    strong = np.minimum(first, second) > _MARK_STRENGTH
    alike = strong & (between > _MARK_CORRELATION * np.sqrt(first * second))
    marks = cv2.dilate(alike.astype(np.uint8), _MARK_MARGIN)
    x, y = np.meshgrid(np.arange(CONTRAST_PX), np.arange(CONTRAST_PX))
    places = np.stack((x.ravel(), y.ravel()))
    moves = np.hypot(*(matrix[:, :2] @ places + matrix[:, 2:] - places)).reshape(marks.shape)
    marks[moves <= _REST_PX * CONTRAST_PX / SIDE_PX] = 0
    return marks  # type: ignore[no-any-return]


def _mutual_matches(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Rows of descriptors that are each other's nearest, and whether they are so by far."""
    if min(len(one), len(other)) < MIN_POINTS:
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.bool_)
    distances = squared_distances(one, other)
    nearest, distinct = _nearest_by_far(distances)
    back, distinct_back = _nearest_by_far(np.ascontiguousarray(distances.T))
    rows = np.arange(len(one))
    mutual = back[nearest] == rows
    return rows[mutual], nearest[mutual], (distinct & distinct_back[nearest])[mutual]


def _nearest_by_far(distances: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    rows, nearest = np.arange(len(distances)), distances.argmin(axis=1)
    others = distances.copy()
    others[rows, nearest] = np.inf
    return nearest, distances[rows, nearest] < _MAX_RATIO**2 * others.min(axis=1)


def _consensus(a: NDArray[np.float32], b: NDArray[np.float32], at_least: int) -> Alignment | None:
    """The similarity transform that most points agree on; RANSAC draws the same samples in every run."""
    if len(a) < at_least:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        a,
        b,
        method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE_PX,
        maxIters=_ITERATIONS,
        confidence=_CONFIDENCE,
    )
    if matrix is None:
        return None
    inside = inliers.ravel() > 0
    # SIFT describes one place several times, in other orientations and sizes.
    places = min(len(np.unique(np.rint(points[inside] / 2), axis=0)) for points in (a, b))
    alignment = Alignment(matrix, places)
    return alignment if places >= at_least and _MIN_SCALE <= alignment.scale <= _MAX_SCALE else None
