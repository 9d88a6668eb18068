"""Outlines of lesions: round dots, ragged blots, flames, boats; and fronds of new vessels."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.cameras import Points
from dr_pipeline.intake.phantom.vessels import walk

_VERTICES = 18


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
    """The outline (vertices, 2) of a pre-retinal haemorrhage: blood that has sunk, level above and round below."""
    x = np.linspace(-1, 1, 24)
    depth = rng.uniform(0.75, 1.05)
    belly = depth * np.sqrt(np.clip(1 - np.abs(x) ** rng.uniform(2.0, 2.8), 0, 1)) * (1 + 0.06 * np.sin(5 * x))
    level = 0.05 * np.cos(rng.uniform(1, 3) * x + rng.uniform(0, 6))
    outline = np.concatenate([np.stack([x, level], axis=-1), np.stack([x, belly], axis=-1)[::-1]])
    outline[:, 1] -= depth / 2
    outlined: Points = outline * width_dd / 2 + centre_dd
    return outlined


def frond(rng: np.random.Generator, root_dd: Points, heading_rad: float, reach_dd: float) -> Points:
    """New vessels (n, steps, 2): a fan of fine, wildly winding stems from `root_dd`, each with curling offshoots."""
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
    # An offshoot turns by more than half a circle: the loops by which new vessels are told from old ones.
    curl = (side * rng.uniform(2.2, 4.5, offshoots))[:, None] * np.linspace(0, 1, 24)[None, :]
    first = heading[source] + side * rng.uniform(0.3, 1.2, offshoots)
    loops = walk(fan[source, at], first[:, None] + curl, reach_dd * rng.uniform(0.3, 0.75, offshoots), 1.5, rng)
    return np.concatenate([fan, loops])
