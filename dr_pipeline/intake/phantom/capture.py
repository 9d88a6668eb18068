"""What the camera makes of the light: blur, tone, colour balance, surround, notch, noise."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.background import Plane
from dr_pipeline.intake.phantom.cameras import Camera, Frame
from dr_pipeline.intake.phantom.drawing import Bytes, fill, fill_circle, fixed_point

_NOTCH_SIZE = 0.035  # of the field's radius
_WHITE = 1.25  # brightest reflected light that is kept apart before the tone curve
_NOISE_TILE_PX = 384
_BLUR_AT_FULL_SIZE_PX = 6.0
_HAZE_COLOUR = np.array([0.62, 0.50, 0.40])


@dataclass(frozen=True)
class _Taking:
    """How this one picture was taken: blur in px, share of light that arrives, share of haze over it."""

    blur_px: float
    gain: float
    haze: float


def expose(rng: np.random.Generator, retina: Plane, camera: Camera, frame: Frame, *, ungradable: bool) -> Bytes:
    """Turns reflected light (height, width, 3) into the camera's picture, RGB uint8."""
    taking = _take(rng, camera, frame, ungradable=ungradable)
    picture = _blur(cv2.convertScaleAbs(retina, alpha=255 / _WHITE), taking.blur_px)
    picture = cv2.LUT(picture, _tone(camera, taking))
    field = _field(camera, frame)
    picture = cv2.multiply(picture, cv2.merge([field, field, field]), scale=1 / 255)
    return np.asarray(cv2.add(picture, _noise(rng, camera, frame), dtype=cv2.CV_8U), np.uint8)


def _take(rng: np.random.Generator, camera: Camera, frame: Frame, *, ungradable: bool) -> _Taking:
    """Draws focus and haze; an ungradable picture is out of focus, dark or hazy beyond use.

    Every picture uses up the same random numbers, so that a gradable one does not depend on the flag's draw.
    """
    blur_px = camera.blur_dd * math.exp(rng.normal(0, 0.2)) * frame.px_per_dd
    haze = max(0.0, rng.normal(0.0, 0.035))
    fault, strength = int(rng.integers(3)), rng.uniform(0.85, 1.2)
    if not ungradable:
        return _Taking(blur_px, 1.0, haze)
    if fault == 0:
        return _Taking(0.17 * strength * frame.px_per_dd, 1.0, haze)
    if fault == 1:
        return _Taking(max(blur_px, 0.05 * frame.px_per_dd), 0.15 / strength, haze)
    return _Taking(0.10 * strength * frame.px_per_dd, 0.95, 0.65 + 0.12 * strength)


def _blur(picture: Bytes, sigma_px: float) -> Bytes:
    if sigma_px < _BLUR_AT_FULL_SIZE_PX:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(sigma_px, 0.3)), np.uint8)
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / 4)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _tone(camera: Camera, taking: _Taking) -> Bytes:
    """The table (1, 256, 3) from reflected light to the file's values: haze, colour balance, exposure, gamma."""
    light = np.linspace(0, _WHITE, 256)[:, None]
    seen = (light * (1 - taking.haze) * np.array(camera.gains) + _HAZE_COLOUR * taking.haze) * taking.gain
    # Film-like shoulder instead of hard clipping: bright discs keep their colour.
    shouldered = np.where(seen < 0.8, seen, 0.8 + 0.2 * np.tanh((seen - 0.8) / 0.28))
    return np.asarray(np.rint(255 * np.clip(shouldered, 0, 1) ** camera.gamma)[None], np.uint8)


def _field(camera: Camera, frame: Frame) -> Bytes:
    """255 inside the retinal disc, 0 outside, with the notch in its edge."""
    mask = np.zeros((frame.height_px, frame.width_px), np.uint8)
    fill_circle(mask, np.array(frame.centre_px), frame.radius_px, 255)
    angle = math.radians(camera.notch_deg)
    direction = np.array([math.cos(angle), math.sin(angle)])
    edge = np.array(frame.centre_px) + frame.radius_px * direction
    size = _NOTCH_SIZE * frame.radius_px
    if camera.notch == "triangle":
        across = np.array([-direction[1], direction[0]])
        corners = np.stack([edge + size * across, edge - size * across, edge + 1.6 * size * direction])
        fill(mask, fixed_point(corners), 255)
    elif camera.notch == "semicircle":
        fill_circle(mask, edge, size, 0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.003 * frame.radius_px)), np.uint8)


def _noise(rng: np.random.Generator, camera: Camera, frame: Frame) -> NDArray[np.int16]:
    """Sensor noise around the black level (height, width, 3), repeated every `_NOISE_TILE_PX`."""
    side = _NOISE_TILE_PX
    grey = rng.standard_normal((side, side, 1), dtype=np.float32)
    colour = rng.standard_normal((side, side, 3), dtype=np.float32)
    tile = np.rint(255 * (camera.noise * (0.8 * grey + 0.6 * colour) + camera.black_level)).astype(np.int16)
    rows, columns = -(-frame.height_px // side), -(-frame.width_px // side)
    return np.ascontiguousarray(np.tile(tile, (rows, columns, 1))[: frame.height_px, : frame.width_px])
