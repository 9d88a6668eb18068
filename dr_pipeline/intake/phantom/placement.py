"""Where lesions can lie: photographed, off the optic disc and the fovea's centre, apart from each other."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.anatomy import Anatomy
from dr_pipeline.intake.phantom.cameras import Frame, Points
from dr_pipeline.intake.phantom.vessels import Vessels

_WIDE_DD = 0.025  # vessels this wide would hide a microaneurysm
_DISC_RADIUS_DD = 0.62
_FOVEA_RADIUS_DD = 0.12


class Placement:
    """Finds free places: photographed, off the optic disc and the fovea's centre, apart from each other."""

    def __init__(self, rng: np.random.Generator, anatomy: Anatomy, vessels: Vessels, frame: Frame) -> None:
        self._rng, self._frame = rng, frame
        self.fovea_dd = np.array(anatomy.fovea_dd)
        wide = vessels.widths > _WIDE_DD
        self._vessel_points = vessels.points[wide][::2].astype(np.float32)

    def candidates(self, count: int, margin_dd: float, off_vessels_dd: float = 0.0) -> Points:
        """Uniform over the photographed field, filtered; fewer than `count` where most is not free."""
        frame = self._frame
        reach = frame.radius_px / frame.px_per_dd
        points = np.array(frame.centre_dd) + self._rng.uniform(-reach, reach, (count, 2))
        free = frame.shows(points, margin_dd) & (np.hypot(points[:, 0], points[:, 1]) > _DISC_RADIUS_DD + margin_dd / 2)
        free &= np.hypot(*(points - self.fovea_dd).T) > _FOVEA_RADIUS_DD
        points = points[free]
        if off_vessels_dd and len(self._vessel_points):
            gaps = points[:, None, :].astype(np.float32) - self._vessel_points[None, :, :]
            points = points[(gaps**2).sum(axis=-1).min(axis=1) > off_vessels_dd**2]
        return points

    def apart(self, points: Points, count: int, gap_dd: float) -> Points:
        """The first `count` of `points` that keep `gap_dd` from those taken before."""
        taken: list[NDArray[np.float64]] = []
        for point in points:
            if len(taken) == count:
                break
            if all((point[0] - t[0]) ** 2 + (point[1] - t[1]) ** 2 > gap_dd**2 for t in taken):
                taken.append(point)
        return np.array(taken).reshape(-1, 2)

    def spread(self, count: int, *, per_quadrant_limit: int) -> Points:
        """At most `count` places over the whole field, none of the quadrants above the limit."""
        points = self.apart(self.candidates(6 * count, 0.15), count, 0.2)
        quadrant = self._frame.quadrant(points)
        return np.concatenate([points[quadrant == q][:per_quadrant_limit] for q in range(4)])

    def in_every_quadrant(self, per_quadrant: int) -> Points:
        """`per_quadrant` places in each of the four quadrants."""
        points = self.candidates(60 * per_quadrant, 0.1)
        quadrant = self._frame.quadrant(points)
        return np.concatenate([self.apart(points[quadrant == q], per_quadrant, 0.2) for q in range(4)])
