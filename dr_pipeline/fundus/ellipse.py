"""An ellipse with level axes and its robust fit to edge points: the field of a squashed or stretched picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.circle import MIN_SECTORS, count_sectors

# Deterministic RANSAC as in `dr_pipeline.fundus.circle`, with four points (Roberts' R4 sequence: g⁵ = g + 1).
_NUM_SAMPLES = 256
_G = 1.1673039782614187
_SAMPLES = np.modf(0.5 + np.arange(1, _NUM_SAMPLES + 1)[:, None] / _G ** np.arange(1, 5)[None, :])[0]
# Of a point from the ellipse, as a fraction of half the points' extent.
TOLERANCE = 0.012
_MIN_POINTS = 24
_REFITS = 3
# Width over height, and its inverse: no camera's frame is so wide that a resize to a square squashes it more.
_MAX_ASPECT = 3.5


@dataclass(frozen=True)
class Ellipse:
    """Centre and half axes, px; a circle if they are equal."""

    x: float
    y: float
    half_width: float
    half_height: float

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.half_width / self.half_height

    @property
    def radius(self) -> float:
        """The longer half axis."""
        return max(self.half_width, self.half_height)

    def inside(self, shape: tuple[int, ...], scale: float = 1.0) -> NDArray[np.bool_]:
        """(height, width): whether each pixel's centre lies inside, the half axes multiplied by `scale`."""
        height, width = shape[:2]
        x = (np.arange(width) + 0.5 - self.x) * (self.half_height / self.half_width)
        y = np.arange(height) + 0.5 - self.y
        # One comparison of a row with a column, without a plane of floats.
        inside: NDArray[np.bool_] = x[None, :] ** 2 <= (scale * self.half_height) ** 2 - y[:, None] ** 2
        return inside

    def distance(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) distance from the curve, px: exact for a circle, to first order along the ray for an ellipse."""
        u, v = x - self.x, y - self.y
        return np.abs(1 - 1 / np.maximum(np.hypot(u / self.half_width, v / self.half_height), 1e-9)) * np.hypot(u, v)

    def agreement(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        """Fraction of the points that lie on the curve, within the tolerance of the fits."""
        return float(np.mean(self.distance(x, y) <= tolerance_px(x, y)))


def tolerance_px(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The distance within which a point lies on the curve; a fraction of the radius would favour the largest curve."""
    return TOLERANCE * float(max(np.ptp(x), np.ptp(y))) / 2


def fit_ellipse(x: NDArray[np.float64], y: NDArray[np.float64]) -> Ellipse | None:
    """Fits an ellipse with level axes to (x, y), ignoring outliers; None if the points determine none.

    Args:
        x: (N,) px.
        y: (N,) px.
    """
    if len(x) < _MIN_POINTS:
        return None
    limit = tolerance_px(x, y)
    ellipse = _consensus(x, y, limit)
    inliers = np.zeros(len(x), np.bool_)
    for _ in range(_REFITS):
        if ellipse is None:
            return None
        inliers = ellipse.distance(x, y) <= limit
        if np.count_nonzero(inliers) < _MIN_POINTS:
            return None
        ellipse = _least_squares(x[inliers], y[inliers])
    if ellipse is None:
        return None
    u, v = (x[inliers] - ellipse.x) / ellipse.half_width, (y[inliers] - ellipse.y) / ellipse.half_height
    return ellipse if count_sectors(u, v) >= MIN_SECTORS else None


def _consensus(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> Ellipse | None:
    """Of many ellipses through four of the points, the one with most inliers among every eighth point."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    u, v = x - mean_x, y - mean_y
    indices = (_SAMPLES * len(x)).astype(int)
    design, target = _equations(u[indices], v[indices])
    solvable = np.abs(np.linalg.det(design)) > 1e-3  # four points that no ellipse, or more than one, goes through
    if not solvable.any():
        return None
    k, a, b, c = np.linalg.solve(design[solvable], target[solvable][..., None])[..., 0].T
    k = np.where((k >= _MAX_ASPECT**-2) & (k <= _MAX_ASPECT**2), k, np.nan)  # the aspect squared
    half_width_squared = np.where(c + a**2 + b**2 / k > 1, c + a**2 + b**2 / k, np.nan)
    du, dv = u[None, ::8] - a[:, None], v[None, ::8] - (b / k)[:, None]
    ratio = np.sqrt(np.maximum((du**2 + k[:, None] * dv**2) / half_width_squared[:, None], 1e-12))
    # A distance of NaN is no vote.
    votes = (np.abs(1 - 1 / ratio) * np.hypot(du, dv) <= limit).sum(axis=1)
    best = int(np.argmax(votes))
    return _from_coefficients(k[best], a[best], b[best], c[best], mean_x, mean_y) if votes[best] else None


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> Ellipse | None:
    """Algebraic fit, as that of `circle`: u² = −k v² + 2a u + 2b v + c about the mean."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    design, target = _equations(x - mean_x, y - mean_y)
    (k, a, b, c), _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
    return _from_coefficients(k, a, b, c, mean_x, mean_y) if rank == 4 else None


def _equations(u: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.stack((-(v**2), 2 * u, 2 * v, np.ones_like(u)), axis=-1), u**2


def _from_coefficients(k: float, a: float, b: float, c: float, mean_x: float, mean_y: float) -> Ellipse | None:
    """The ellipse u² + k v² = 2a u + 2b v + c; None if it is none, or flatter than any resize makes it."""
    if not _MAX_ASPECT**-2 <= k <= _MAX_ASPECT**2 or not (squared := c + a**2 + b**2 / k) > 1:
        return None
    half_width = float(np.sqrt(squared))
    return Ellipse(float(a) + mean_x, float(b / k) + mean_y, half_width, half_width / float(np.sqrt(k)))
