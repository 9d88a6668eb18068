"""Positions and outlines of lesions: round dots, ragged blots, boats, and fronds of new vessels."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.anatomy import Anatomy
from dr_pipeline.intake.phantom.cameras import Frame, Points
from dr_pipeline.intake.phantom.vessels import Vessels, walk

_WIDE_DD = 0.025  # vessels this wide would hide a microaneurysm
_DISC_RADIUS_DD = 0.62
_FOVEA_RADIUS_DD = 0.12
_VERTICES = 18


class Placement:
    """Finds free positions: photographed, off the optic disc and the foveal centre, apart from each other."""

    def __init__(self, rng: np.random.Generator, anatomy: Anatomy, vessels: Vessels, frame: Frame) -> None:
        self._rng, self._frame = rng, frame
        self.fovea_dd = np.array(anatomy.fovea_dd)
        wide = vessels.widths > _WIDE_DD
        self._vessel_points = vessels.points[wide][::2].astype(np.float32)

    def candidates(self, count: int, margin_dd: float, off_vessels_dd: float = 0.0) -> Points:
        """Free positions, uniform over the photographed field: `count` draws less those that are not free."""
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
        """The first `count` of `points` that are `gap_dd` away from those selected before."""
        selected: list[NDArray[np.float64]] = []
        for point in points:
            if len(selected) == count:
                break
            if all((point[0] - t[0]) ** 2 + (point[1] - t[1]) ** 2 > gap_dd**2 for t in selected):
                selected.append(point)
        return np.array(selected).reshape(-1, 2)

    def spread(self, count: int, *, per_quadrant_limit: int) -> Points:
        """At most `count` positions over the whole field, no quadrant above the limit."""
        points = self.apart(self.candidates(6 * count, 0.15), count, 0.2)
        quadrant = self._frame.quadrant(points)
        return np.concatenate([points[quadrant == q][:per_quadrant_limit] for q in range(4)])

    def in_every_quadrant(self, per_quadrant: int) -> Points:
        """`per_quadrant` positions in each of the four quadrants."""
        points = self.candidates(60 * per_quadrant, 0.1)
        quadrant = self._frame.quadrant(points)
        return np.concatenate([self.apart(points[quadrant == q], per_quadrant, 0.2) for q in range(4)])


def blobs(
    rng: np.random.Generator,
    centres_dd: Points,
    diameters_dd: NDArray[np.float64],
    *,
    raggedness: float,
    elongation: tuple[float, float] = (1.0, 1.25),
) -> Points:
    """Outlines (n, vertices, 2) around `centres_dd` (n, 2): circles made ragged by three harmonics, then stretched.

    The area is that of a circle of the given diameter, whatever the elongation.
    """
    count = len(centres_dd)
    angle = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)[None, :]
    radius = np.ones((count, _VERTICES))
    for harmonic in (2, 3, 5):
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        radius += raggedness * rng.uniform(0.2, 1.0, (count, 1)) / harmonic**0.5 * np.cos(harmonic * angle + phase)
    radius = np.maximum(radius, 0.3) * diameters_dd[:, None] / 2
    stretch = np.sqrt(rng.uniform(*elongation, (count, 1)))
    turn = rng.uniform(0, np.pi, (count, 1))
    x, y = radius * np.cos(angle) * stretch, radius * np.sin(angle) / stretch
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) + centres_dd[:, None, :]


def boat(rng: np.random.Generator, centre_dd: Points, width_dd: float) -> Points:
    """The outline (vertices, 2) of a pre-retinal hemorrhage: sedimented blood, level above and round below."""
    x = np.linspace(-1, 1, 24)
    depth = rng.uniform(0.75, 1.05)
    belly = depth * np.sqrt(np.clip(1 - np.abs(x) ** rng.uniform(2.0, 2.8), 0, 1)) * (1 + 0.06 * np.sin(5 * x))
    level = 0.05 * np.cos(rng.uniform(1, 3) * x + rng.uniform(0, 6))
    outline = np.concatenate([np.stack([x, level], axis=-1), np.stack([x, belly], axis=-1)[::-1]])
    outline[:, 1] -= depth / 2
    outlined: Points = outline * width_dd / 2 + centre_dd
    return outlined


def frond(rng: np.random.Generator, root_dd: Points, heading_rad: float, reach_dd: float) -> Points:
    """New vessels (n, steps, 2): a fan of fine tortuous stems from `root_dd`, each with curling offshoots."""
    stems = int(rng.integers(6, 10))
    heading = heading_rad + np.linspace(-1.15, 1.15, stems) + rng.normal(0, 0.12, stems)
    curl = rng.uniform(-1.6, 1.6, (stems, 1)) * np.linspace(0, 1, 24)[None, :]
    start = root_dd + rng.normal(0, 0.03, (stems, 2))
    lengths = reach_dd * rng.uniform(0.65, 1.1, stems)
    fan = walk(start, heading[:, None] + curl, lengths, 2.6, rng)
    offshoots = 3 * stems
    source = rng.integers(0, stems, offshoots)
    at = rng.integers(5, 22, offshoots)
    side = rng.choice([-1.0, 1.0], offshoots)
    # An offshoot turns by more than half a circle: loops distinguish new vessels from normal ones.
    curl = (side * rng.uniform(2.2, 4.5, offshoots))[:, None] * np.linspace(0, 1, 24)[None, :]
    first = heading[source] + side * rng.uniform(0.3, 1.2, offshoots)
    loops = walk(fan[source, at], first[:, None] + curl, reach_dd * rng.uniform(0.3, 0.75, offshoots), 1.5, rng)
    return np.concatenate([fan, loops])
