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
# Inliers must lie in at least this many of 24 directions (15° each) from the centre, else any arc fits.
_SECTORS, _MIN_SECTORS = 24, 7


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
    inliers = np.zeros(len(x), np.bool_)
    for _ in range(_REFITS):
        if circle is None:
            return None
        inliers = np.abs(np.hypot(x - circle.x, y - circle.y) - circle.radius) <= tolerance_px
        if np.count_nonzero(inliers) < max(_MIN_POINTS, _MIN_INLIER_FRACTION * len(x)):
            return None
        circle = _least_squares(x[inliers], y[inliers])
    if circle is None:
        return None
    direction = np.arctan2(y[inliers] - circle.y, x[inliers] - circle.x)
    sectors = np.unique(((direction + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS)
    return circle if len(sectors) >= _MIN_SECTORS else None


def _consensus(x: NDArray[np.float64], y: NDArray[np.float64], tolerance_px: float) -> Circle | None:
    """Of many circles through three of the points, the one with most inliers."""
    triplets = (_TRIPLETS * len(x)).astype(int)
    ax, bx, cx = x[triplets].T
    ay, by, cy = y[triplets].T
    determinant = 2 * (ax * (by - cy) + bx * (cy - ay) + cx * (ay - by))
    determinant[np.abs(determinant) < 1e-6] = np.nan  # three points on a line
    a2, b2, c2 = ax**2 + ay**2, bx**2 + by**2, cx**2 + cy**2
    centre_x = (a2 * (by - cy) + b2 * (cy - ay) + c2 * (ay - by)) / determinant
    centre_y = (a2 * (cx - bx) + b2 * (ax - cx) + c2 * (bx - ax)) / determinant
    radius = np.hypot(ax - centre_x, ay - centre_y)
    # Votes are counted on every fourth point; the refits use all. A distance of NaN is no vote.
    distance = np.hypot(x[None, ::4] - centre_x[:, None], y[None, ::4] - centre_y[:, None])
    votes = (np.abs(distance - radius[:, None]) <= tolerance_px).sum(axis=1)
    best = int(np.argmax(votes))
    return Circle(float(centre_x[best]), float(centre_y[best]), float(radius[best])) if votes[best] else None


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> Circle | None:
    """Algebraic fit (Kåsa, IEEE Trans. Instrum. Meas. 1976;25:8): x² + y² = 2ax + 2by + c, about the mean."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    u, v = x - mean_x, y - mean_y
    (a, b, c), _, rank, _ = np.linalg.lstsq(np.column_stack((2 * u, 2 * v, np.ones_like(u))), u**2 + v**2, rcond=None)
    if rank < 3:
        return None
    return Circle(float(a) + mean_x, float(b) + mean_y, float(np.sqrt(c + a**2 + b**2)))
