"""The retinal vessels: arteries and veins that leave the disc, arch around the macula, branch and taper."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.cameras import Frame, Points

# Calibres at the disc in DD: veins 120 … 150 µm, arteries about 0.7 of that, with a DD of 1500 µm.
VEIN_WIDTH_DD = 0.088
ARTERY_WIDTH_DD = 0.062
# No vessel enters the foveal avascular zone, about 0.5 mm wide; the capillaries around it are too fine to be visible.
AVASCULAR_RADIUS_DD = 0.38
THINNEST_DD = 0.011
_STEPS = 48
_BRANCH_SPACING_DD = 0.8


@dataclass(frozen=True)
class Vessels:
    """All vessels as equally long polylines.

    Attributes:
        points: (vessels, steps, 2) in DD.
        widths: (vessels, steps) in DD; 0 where the vessel has ended.
        is_vein: (vessels,).
        generation: (vessels,); 0 for the four pairs of trunks, superior temporal, inferior temporal,
            superior nasal, inferior nasal.
    """

    points: Points
    widths: NDArray[np.float64]
    is_vein: NDArray[np.bool_]
    generation: NDArray[np.int64]


def grow_vessels(rng: np.random.Generator, fovea_dd: tuple[float, float], frame: Frame) -> Vessels:
    """Grows the trunks and three generations of branches; each generation is one array operation."""
    tortuosity = rng.uniform(0.7, 1.5)
    trunks = _grow_trunks(rng, tortuosity)
    small = _grow_disc_vessels(rng, tortuosity)
    branches = _grow_branches(rng, trunks, 7, (1.2, 3.4), (0.38, 0.72), tortuosity * 1.3)
    twigs = _grow_branches(rng, branches, 3, (0.5, 1.6), (0.5, 0.8), tortuosity * 1.6)
    ends = _grow_branches(rng, twigs, 2, (0.3, 0.8), (0.6, 0.9), tortuosity * 1.8)
    parts = (trunks, small, branches, twigs, ends)
    vessels = Vessels(
        points=np.concatenate([p.points for p in parts]),
        widths=np.concatenate([p.widths for p in parts]),
        is_vein=np.concatenate([p.is_vein for p in parts]),
        generation=np.concatenate([p.generation for p in parts]),
    )
    return _end_before_fovea(vessels, fovea_dd, frame)


def walk(
    start: Points,
    heading: NDArray[np.float64],
    length: NDArray[np.float64],
    tortuosity: float,
    rng: np.random.Generator,
) -> Points:
    """Walks along headings (vessels, steps), in radians, plus a sinusoidal deviation; returns (vessels, steps, 2)."""
    count, steps = heading.shape
    along = np.linspace(0, 1, steps)[None, :] * length[:, None]
    deviation = np.zeros_like(heading)
    for wavelength, swing in ((2.4, 0.14), (1.0, 0.17), (0.45, 0.12)):
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        strength = rng.uniform(0.4, 1.3, (count, 1)) * swing * tortuosity
        deviation += strength * (np.sin(2 * np.pi * along / wavelength + phase) - np.sin(phase))
    angle = heading + deviation
    step = (length / (steps - 1))[:, None]
    moves = np.stack([np.cos(angle) * step, np.sin(angle) * step], axis=-1)
    moves[:, 0] = 0
    walked: Points = start[:, None, :] + np.cumsum(moves, axis=1)
    return walked


def _grow_trunks(rng: np.random.Generator, tortuosity: float) -> Vessels:
    """One artery and one vein per quadrant; the temporal pairs turn from upright to temple-ward around the macula."""
    along = np.linspace(0, 1, _STEPS)
    first, last, turn, length = [], [], [], []
    for side in (-1, 1):  # superior, inferior
        # Of artery and vein, either may be the outer one.
        turns = rng.permutation([rng.uniform(1.7, 2.05), rng.uniform(2.2, 2.6)])
        for of_this in turns:
            first.append(side * rng.uniform(82, 108))
            last.append(-side * rng.uniform(4, 24))
            turn.append(of_this)
            length.append(rng.uniform(6.4, 7.4))
    for side in (-1, 1):
        for of_this in (rng.uniform(100, 116), rng.uniform(116, 134)):
            first.append(side * of_this)
            last.append(side * (of_this + rng.uniform(10, 45)))
            turn.append(rng.uniform(0.9, 1.8))
            length.append(rng.uniform(2.8, 4.0))
    lengths = np.array(length)
    fading = np.exp(-((along[None, :] * lengths[:, None] / np.array(turn)[:, None]) ** 1.35))
    first_rad, last_rad = np.radians(first)[:, None], np.radians(last)[:, None]
    heading = last_rad + (first_rad - last_rad) * fading
    is_vein = np.tile([False, True], 4)
    start = np.stack([rng.uniform(-0.08, 0.02, 8), np.sign(first) * rng.uniform(0.0, 0.06, 8)], axis=-1)
    widths_at_disc = np.where(is_vein, VEIN_WIDTH_DD, ARTERY_WIDTH_DD) * rng.uniform(0.85, 1.15, 8)
    widths_at_disc[4:] *= 0.72
    taper = 1 - 0.62 * along**0.8
    return Vessels(
        points=walk(start, heading, lengths, tortuosity, rng),
        widths=widths_at_disc[:, None] * taper[None, :],
        is_vein=is_vein,
        generation=np.zeros(8, np.int64),
    )


def _grow_disc_vessels(rng: np.random.Generator, tortuosity: float) -> Vessels:
    """Fine vessels straight from the disc towards the macula and the nose."""
    count = int(rng.integers(5, 9))
    towards_nose = rng.random(count) < 0.4
    middle = np.where(towards_nose, np.pi, 0.0)
    heading = (middle + rng.uniform(-0.75, 0.75, count))[:, None] * np.ones((1, _STEPS))
    heading += rng.uniform(-0.5, 0.5, (count, 1)) * np.linspace(0, 1, _STEPS)
    start = rng.uniform(-0.1, 0.1, (count, 2))
    widths = rng.uniform(0.016, 0.03, count)[:, None] * (1 - 0.55 * np.linspace(0, 1, _STEPS))
    return Vessels(
        points=walk(start, heading, rng.uniform(1.3, 2.6, count), tortuosity, rng),
        widths=widths,
        is_vein=rng.random(count) < 0.5,
        generation=np.ones(count, np.int64),
    )


def _grow_branches(
    rng: np.random.Generator,
    parents: Vessels,
    per_parent: int,
    length_dd: tuple[float, float],
    width_ratio: tuple[float, float],
    tortuosity: float,
) -> Vessels:
    """Grows up to `per_parent` branches from every parent, to alternate sides, where it is still thick enough."""
    count = len(parents.points)
    parent = np.repeat(np.arange(count), per_parent)
    order = np.tile(np.arange(per_parent), count)
    place = (0.1 + 0.86 * (order + rng.uniform(0, 1, order.size)) / per_parent) * (_STEPS - 2)
    at = place.astype(np.int64)
    side = np.where((order + np.repeat(rng.integers(0, 2, count), per_parent)) % 2 == 0, 1.0, -1.0)
    widths_there = parents.widths[parent, at] * rng.uniform(*width_ratio, order.size)
    lengths = rng.uniform(*length_dd, order.size)
    step = parents.points[parent, at + 1] - parents.points[parent, at]
    off = np.radians(rng.uniform(32, 75, order.size)) * side
    bend = np.radians(rng.uniform(0, 75, order.size)) * side
    along = np.linspace(0, 1, _STEPS)
    heading = (np.arctan2(step[:, 1], step[:, 0]) + off)[:, None] - bend[:, None] * along[None, :]
    points = walk(parents.points[parent, at], heading, lengths, tortuosity, rng)
    parent_length = np.hypot(*np.moveaxis(np.diff(parents.points, axis=1), -1, 0)).sum(axis=1)
    # Short vessels get fewer branches, so that their spacing is about the same everywhere.
    probability = parent_length[parent] / (_BRANCH_SPACING_DD * per_parent)
    keep = (widths_there > THINNEST_DD) & (rng.random(order.size) < probability)
    return Vessels(
        points=points[keep],
        widths=(widths_there[:, None] * (1 - 0.55 * along[None, :]))[keep],
        is_vein=parents.is_vein[parent][keep],
        generation=parents.generation[parent][keep] + 1,
    )


def _end_before_fovea(vessels: Vessels, fovea_dd: tuple[float, float], frame: Frame) -> Vessels:
    """Sets the width to 0 from where a vessel gets too thin or enters the avascular zone; drops invisible ones."""
    distance = np.hypot(vessels.points[..., 0] - fovea_dd[0], vessels.points[..., 1] - fovea_dd[1])
    stopped = np.logical_or.accumulate((distance < AVASCULAR_RADIUS_DD) | (vessels.widths < THINNEST_DD * 0.7), axis=1)
    widths = np.where(stopped, 0.0, vessels.widths)
    keep = ((widths > 0) & frame.shows(vessels.points, -0.3)).sum(axis=1) > 3
    return Vessels(vessels.points[keep], widths[keep], vessels.is_vein[keep], vessels.generation[keep])
