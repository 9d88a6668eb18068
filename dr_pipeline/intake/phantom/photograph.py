"""One photograph: an eye painted, then exposed by its camera (blur, tone, colour balance, surround, notch, noise)."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.anatomy import Anatomy, draw_anatomy
from dr_pipeline.intake.phantom.background import Plane, paint_background
from dr_pipeline.intake.phantom.cameras import CAMERAS, Camera, Frame, frame_eye
from dr_pipeline.intake.phantom.cohort import EYES, EyeCase, Stream, generator
from dr_pipeline.intake.phantom.lesions import draw_lesions
from dr_pipeline.intake.phantom.painting import (
    ByteImage,
    absorb,
    fill,
    fill_circle,
    fixed_point,
    kind_masks,
    lesion_density,
    paint_bright_lesions,
    paint_optic_disc,
    vessel_density,
)
from dr_pipeline.intake.phantom.vessels import grow_vessels
from dr_pipeline.lesions.kinds import Masks

_BOTH_EYES = len(EYES)  # key of the stream of what a person's two eyes share
_NOTCH_SIZE = 0.035  # of the field's radius
_WHITE = 1.25  # reflected light at which the tone curve saturates
_NOISE_TILE_PX = 384
_BLUR_AT_FULL_SIZE_PX = 6.0
_HAZE_COLOUR = np.array([0.62, 0.50, 0.40])


@dataclass(frozen=True)
class Rendered:
    """A photograph before compression, with its ground truth.

    Attributes:
        rgb: (height, width, 3) uint8.
        frame: Where the retina is in it.
        anatomy: The eye.
        lesion_counts: By kind.
        masks: (height, width): bit k is set where kind k of `dr_pipeline.lesions.kinds` is.
    """

    rgb: ByteImage
    frame: Frame
    anatomy: Anatomy
    lesion_counts: dict[str, int]
    masks: Masks


def render(seed: int, case: EyeCase, megapixels: float, *, without_lesions: bool) -> Rendered:
    """Paints one eye; equal arguments give equal pixels in every process.

    Args:
        seed: Seed of the data set.
        case: The eye, its severity and its camera.
        megapixels: Resolution of the middle camera.
        without_lesions: Leaves the lesions out; every pixel outside their blurred outlines stays the same.
    """

    def stream(name: Stream) -> np.random.Generator:
        return generator(seed, name, case.patient_index, case.eye_index)

    camera, capture = CAMERAS[case.camera], stream(Stream.CAPTURE)
    person = generator(seed, Stream.ANATOMY, case.patient_index, _BOTH_EYES)
    anatomy = draw_anatomy(person, stream(Stream.ANATOMY))
    frame = frame_eye(capture, camera, megapixels, case.eye, anatomy.fovea_dd)
    vessels = grow_vessels(stream(Stream.VESSELS), anatomy.fovea_dd, frame)
    severity = 0.0 if without_lesions else case.severity
    lesions = draw_lesions(stream(Stream.LESIONS), severity, anatomy, vessels, frame)

    background = paint_background(stream(Stream.BACKGROUND), anatomy, frame)
    size = (frame.width_px, frame.height_px)
    retina = cv2.resize(background.colour, size, interpolation=cv2.INTER_LINEAR)
    light = cv2.resize(background.light, size, interpolation=cv2.INTER_LINEAR)
    paint_optic_disc(retina, light, anatomy, frame)
    paint_bright_lesions(retina, light, lesions, frame)
    absorb(retina, cv2.add(vessel_density(vessels, frame), lesion_density(lesions, frame)))
    rgb = expose(capture, retina, camera, frame, ungradable=case.ungradable)
    return Rendered(rgb, frame, anatomy, lesions.counts, kind_masks(lesions, anatomy, frame))


@dataclass(frozen=True)
class _Exposure:
    """Exposure of one photograph: blur in px, fraction of light that arrives, fraction of haze."""

    blur_px: float
    gain: float
    haze: float


def expose(rng: np.random.Generator, retina: Plane, camera: Camera, frame: Frame, *, ungradable: bool) -> ByteImage:
    """Turns reflected light (height, width, 3) into the camera's image, RGB uint8."""
    exposure = _draw_exposure(rng, camera, frame, ungradable=ungradable)
    image = _blur(cv2.convertScaleAbs(retina, alpha=255 / _WHITE), exposure.blur_px)
    image = cv2.LUT(image, _tone(camera, exposure))
    field = _field(camera, frame)
    image = cv2.multiply(image, cv2.merge([field, field, field]), scale=1 / 255)
    return np.asarray(cv2.add(image, _noise(rng, camera, frame), dtype=cv2.CV_8U), np.uint8)


def _draw_exposure(rng: np.random.Generator, camera: Camera, frame: Frame, *, ungradable: bool) -> _Exposure:
    """Draws focus and haze; an ungradable photograph is too blurred, dark or hazy to grade.

    Every photograph consumes the same random numbers, so that a gradable one does not depend on the flag.
    """
    blur_px = camera.blur_dd * math.exp(rng.normal(0, 0.2)) * frame.px_per_dd
    haze = max(0.0, rng.normal(0.0, 0.035))
    fault, strength = int(rng.integers(3)), rng.uniform(0.85, 1.2)
    if not ungradable:
        return _Exposure(blur_px, 1.0, haze)
    if fault == 0:
        return _Exposure(0.17 * strength * frame.px_per_dd, 1.0, haze)
    if fault == 1:
        return _Exposure(max(blur_px, 0.05 * frame.px_per_dd), 0.15 / strength, haze)
    return _Exposure(0.10 * strength * frame.px_per_dd, 0.95, 0.65 + 0.12 * strength)


def _blur(image: ByteImage, sigma_px: float) -> ByteImage:
    if sigma_px < _BLUR_AT_FULL_SIZE_PX:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma_px, 0.3)), np.uint8)
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / 4)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _tone(camera: Camera, exposure: _Exposure) -> ByteImage:
    """The table (1, 256, 3) from reflected light to the file's values: haze, colour balance, exposure, gamma."""
    light = np.linspace(0, _WHITE, 256)[:, None]
    seen = (light * (1 - exposure.haze) * np.array(camera.gains) + _HAZE_COLOUR * exposure.haze) * exposure.gain
    # Film-like shoulder instead of hard clipping: bright discs keep their colour.
    shouldered = np.where(seen < 0.8, seen, 0.8 + 0.2 * np.tanh((seen - 0.8) / 0.28))
    return np.asarray(np.rint(255 * np.clip(shouldered, 0, 1) ** camera.gamma)[None], np.uint8)


def _field(camera: Camera, frame: Frame) -> ByteImage:
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
