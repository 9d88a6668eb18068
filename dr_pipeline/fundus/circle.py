"""Robust circle fit to edge points with outliers: notches, date stamps, vignetted rims."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Deterministic RANSAC (Fischler and Bolles, 1981): the triplets of points are quasi-random and the same in every run
# (Roberts' R3 sequence, 2018: multiples of the powers of 1 / g, where g⁴ = g + 1).
_NUM_TRIPLETS = 96
_G = 1.2207440846057596
_TRIPLETS = np.modf(0.5 + np.arange(1, _NUM_TRIPLETS + 1)[:, None] * np.array([1 / _G, 1 / _G**2, 1 / _G**3]))[0]
# Inlier distance as a fraction of half the points' extent; a fraction of the radius would favour the largest circle.
_TOLERANCE = 0.012
_MIN_POINTS = 24
_MIN_INLIER_FRACTION = 0.4
_REFITS = 3
# Of the product of the points' variances: less of it is left where they lie on a line.
_ON_A_LINE = 1e-9
# Inliers must lie in at least this many of 24 directions (15° each) from the centre, else any arc fits.
_SECTORS, MIN_SECTORS = 24, 7
# Of an outline that may be made of several circles: where triplets start, how much of it they span, and how many
# circles are tried; an arc of one of several spans at least this many sectors.
_STARTS, _STRETCHES, _CANDIDATES, _MIN_ARC_SECTORS = 64, (1 / 3, 1 / 5, 1 / 8, 1 / 14), 12, 5


@dataclass(frozen=True)
class Circle:
    """Centre and radius, px."""

    x: float
    y: float
    radius: float


def fit_circle(x: NDArray[np.float64], y: NDArray[np.float64]) -> Circle | None:
    """Fits a circle to (x, y), ignoring outliers; None if too few points agree on one.

    Args:
        x: (N,) px.
        y: (N,) px.
    """
    if len(x) < _MIN_POINTS:
        return None
    tolerance_px = _TOLERANCE * max(np.ptp(x), np.ptp(y)) / 2
    circle = _consensus(x, y, tolerance_px)
    if circle is None:
        return None
    circle, num_sectors = _refit(circle, x, y, tolerance_px, max(_MIN_POINTS, _MIN_INLIER_FRACTION * len(x)))
    return circle if num_sectors >= MIN_SECTORS else None


def _refit(
    circle: Circle, x: NDArray[np.float64], y: NDArray[np.float64], limit: float, min_points: float
) -> tuple[Circle | None, int]:
    """The circle fitted repeatedly to its inliers, and the number of directions in which they lie; None if too few."""
    refitted: Circle | None = circle
    inliers = np.zeros(len(x), np.bool_)
    for _ in range(_REFITS):
        if refitted is None:
            return None, 0
        inliers = np.abs(np.hypot(x - refitted.x, y - refitted.y) - refitted.radius) <= limit
        if np.count_nonzero(inliers) < min_points:
            return None, 0
        refitted = _least_squares(x[inliers], y[inliers])
    if refitted is None:
        return None, 0
    return refitted, count_sectors(x[inliers] - refitted.x, y[inliers] - refitted.y)


def count_sectors(u: NDArray[np.float64], v: NDArray[np.float64]) -> int:
    """Number of directions, of 24, in which points lie; (u, v) are relative to the centre."""
    direction = np.arctan2(v, u)
    return len(np.unique(((direction + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS))


def _consensus(x: NDArray[np.float64], y: NDArray[np.float64], tolerance_px: float) -> Circle | None:
    """Of many circles through three of the points, the one with most inliers."""
    triplets = (_TRIPLETS * len(x)).astype(int)
    centre_x, centre_y, radius = _through(x[triplets], y[triplets])
    # Votes are counted on every fourth point; the refits use all. A distance of NaN is no vote.
    squared = (x[None, ::4] - centre_x[:, None]) ** 2 + (y[None, ::4] - centre_y[:, None]) ** 2
    nearest, farthest = np.maximum(radius - tolerance_px, 0) ** 2, (radius + tolerance_px) ** 2
    votes = ((squared >= nearest[:, None]) & (squared <= farthest[:, None])).sum(axis=1)
    best = int(np.argmax(votes))
    return Circle(float(centre_x[best]), float(centre_y[best]), float(radius[best])) if votes[best] else None


def _through(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centres and radii of the circles through (M, 3) points; NaN where they lie on a line."""
    ax, bx, cx = x.T
    ay, by, cy = y.T
    determinant = 2 * (ax * (by - cy) + bx * (cy - ay) + cx * (ay - by))
    determinant[np.abs(determinant) < 1e-6] = np.nan  # three points on a line
    a2, b2, c2 = ax**2 + ay**2, bx**2 + by**2, cx**2 + cy**2
    centre_x = (a2 * (by - cy) + b2 * (cy - ay) + c2 * (ay - by)) / determinant
    centre_y = (a2 * (cx - bx) + b2 * (ax - cx) + c2 * (bx - ax)) / determinant
    return centre_x, centre_y, np.hypot(ax - centre_x, ay - centre_y)


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> Circle | None:
    """Algebraic fit (Kåsa, IEEE Trans. Instrum. Meas. 1976;25:8): x² + y² = 2ax + 2by + c, about the mean."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    u, v = x - mean_x, y - mean_y
    squared = u * u + v * v
    # About the mean Σu = Σv = 0, so that c is the mean of u² + v², and a and b follow from two equations.
    uu, uv, vv = float(u @ u), float(u @ v), float(v @ v)
    determinant = uu * vv - uv * uv
    if determinant <= _ON_A_LINE * uu * vv:
        return None
    right_u, right_v = float(u @ squared) / 2, float(v @ squared) / 2
    a, b = (vv * right_u - uv * right_v) / determinant, (uu * right_v - uv * right_u) / determinant
    return Circle(a + mean_x, b + mean_y, float(np.sqrt(squared.mean() + a * a + b * b)))


def circles_through(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> list[Circle]:
    """Circles with an arc on a long outline, those with most points first; they may share points.

    Args:
        x: (N,) px, in the outline's order.
        y: (N,) px.
        limit: Of a point's distance, px.
    """
    if len(x) < _MIN_POINTS:
        return []
    # Triplets from short to long stretches of the outline, so that an arc's three points are often on one circle.
    starts = np.linspace(0, len(x), _STARTS, endpoint=False).astype(int)
    steps = np.array([max(2, round(len(x) * stretch / 2)) for stretch in _STRETCHES])
    triplets = (starts[:, None, None] + steps[None, :, None] * np.arange(3)[None, None, :]).reshape(-1, 3) % len(x)
    centre_x, centre_y, radius = _through(x[triplets], y[triplets])
    distance = np.hypot(x[None, ::4] - centre_x[:, None], y[None, ::4] - centre_y[:, None])
    votes = (np.abs(distance - radius[:, None]) <= limit).sum(axis=1)
    circles: list[Circle] = []
    for best in np.argsort(-votes, kind="stable")[:_CANDIDATES]:
        drawn = Circle(float(centre_x[best]), float(centre_y[best]), float(radius[best]))
        circle, num_sectors = _refit(drawn, x, y, limit, _MIN_POINTS)
        if circle is not None and num_sectors >= _MIN_ARC_SECTORS:
            circles.append(circle)
    return circles
