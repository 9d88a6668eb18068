"""The fundus behind the vessels, painted at a quarter of the image's resolution since it has no sharp detail."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.anatomy import Anatomy
from dr_pipeline.intake.phantom.cameras import Frame, Points

REDUCTION = 4
Plane = NDArray[np.float32]
# Contribution of each layer to the logarithm of the reflected red, green and blue. Set by eye against IDRiD.
_LAYER_WEIGHTS = {
    "patches": (0.07, 0.16, 0.20),  # of pigment
    "tints": (0.0, -0.05, -0.15),
    "mottling": (0.06, 0.10, 0.14),
    "grain": (0.012, 0.022, 0.025),
    "choroid": (0.10, 0.18, 0.10),
    "macula": (-0.55, -1.0, -1.2),  # its yellow pigment absorbs blue
    "nerve_fibres": (0.05, 0.13, 0.16),
    "foveal_reflex": (0.15, 0.25, 0.25),
}


@dataclass(frozen=True)
class Background:
    """Reflected colour (h, w, 3) in [0, ~1.2] and incident light (h, w), both at the image's size / `REDUCTION`."""

    colour: Plane
    light: Plane


def paint_background(rng: np.random.Generator, anatomy: Anatomy, frame: Frame) -> Background:
    """Paints pigment, choroid, macula and nerve fibres under uneven light."""
    height, width = -(-frame.height_px // REDUCTION), -(-frame.width_px // REDUCTION)
    ys, xs = np.mgrid[0:height, 0:width]
    px = np.stack([xs, ys], axis=-1) * float(REDUCTION) + (REDUCTION - 1) / 2
    layers = _layers(rng, anatomy, frame, frame.to_dd(px).astype(np.float32))
    light = _light(rng, px, frame)
    channels = []
    for channel, base in enumerate(anatomy.fundus_colour):
        log = sum((np.float32(_LAYER_WEIGHTS[name][channel]) * layer for name, layer in layers.items()), np.float32(0))
        channels.append(np.float32(base) * np.exp(log) * light)
    return Background(np.dstack(channels).astype(np.float32), light)


def smooth_noise(rng: np.random.Generator, height: int, width: int, grain_px: float) -> Plane:
    """Gaussian noise of unit variance at its nodes, `grain_px` apart, smoothly interpolated between them."""
    rows, columns = int(height / grain_px) + 4, int(width / grain_px) + 4
    nodes = rng.standard_normal((rows, columns), dtype=np.float32)
    enlarged = cv2.resize(nodes, (round(columns * grain_px), round(rows * grain_px)), interpolation=cv2.INTER_CUBIC)
    top, left = round(1.5 * grain_px), round(1.5 * grain_px)
    return np.ascontiguousarray(enlarged[top : top + height, left : left + width])


def _layers(rng: np.random.Generator, anatomy: Anatomy, frame: Frame, dd: NDArray[np.float32]) -> dict[str, Plane]:
    """The layers of `_LAYER_WEIGHTS`, each (h, w), at the retinal points `dd` (h, w, 2)."""
    height, width = dd.shape[:2]
    px_per_dd = frame.px_per_dd / REDUCTION

    def noise(grain_dd: float) -> Plane:
        return smooth_noise(rng, height, width, grain_dd * px_per_dd)

    from_fovea = np.hypot(dd[..., 0] - anatomy.fovea_dd[0], dd[..., 1] - anatomy.fovea_dd[1]).astype(np.float32)
    from_disc = np.hypot(dd[..., 0], dd[..., 1])
    # A tessellated fundus: broad orange choroidal vessels between darker islands, least at the macula.
    ridges = np.exp(-((noise(0.42) / 0.35) ** 2)) + 0.7 * np.exp(-((noise(0.24) / 0.35) ** 2)) - 0.7
    choroid = anatomy.choroid_visibility * ridges * np.clip((from_fovea - 0.7) / 1.6, 0, 1)
    macula = 0.17 * np.exp(-((from_fovea / 0.85) ** 2)) + 0.30 * np.exp(-((from_fovea / 0.3) ** 2))
    return {
        "patches": rng.uniform(0.4, 1.2) * noise(1.8),
        "tints": rng.uniform(0.4, 1.2) * noise(2.4),
        "mottling": 0.5 * noise(1.1) + 0.3 * noise(0.35) + 0.25 * noise(0.1),
        "grain": rng.standard_normal((height, width), dtype=np.float32),
        "choroid": choroid,
        "macula": anatomy.macula_darkness * macula,
        "nerve_fibres": np.exp(-((from_disc / 1.1) ** 2)) * (1 + 0.5 * noise(0.2)),
        "foveal_reflex": anatomy.foveal_reflex * np.exp(-((from_fovea / 0.07) ** 2)),
    }


def _light(rng: np.random.Generator, px: Points, frame: Frame) -> Plane:
    """Vignetting, a tilt of the light to one side, and the exposure (h, w)."""
    u = (px[..., 0] - frame.centre_px[0]) / frame.radius_px
    v = (px[..., 1] - frame.centre_px[1]) / frame.radius_px
    vignette = 1 - rng.uniform(0.20, 0.48) * np.clip(u**2 + v**2, 0, 1) ** rng.uniform(1.0, 1.8)
    slope, direction = rng.uniform(0, 0.22), rng.uniform(0, 2 * np.pi)
    tilt = 1 + slope * (u * np.cos(direction) + v * np.sin(direction))
    exposure = np.exp(rng.normal(0.0, 0.13))
    return np.asarray(vignette * tilt * exposure, np.float32)
