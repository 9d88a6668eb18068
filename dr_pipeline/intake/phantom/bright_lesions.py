"""Everything bright: the optic disc with its cup, exudates, cotton wool, fibrous tissue."""

import cv2
import numpy as np

from dr_pipeline.intake.phantom.anatomy import Anatomy, Colour
from dr_pipeline.intake.phantom.background import Plane
from dr_pipeline.intake.phantom.cameras import Frame
from dr_pipeline.intake.phantom.drawing import SHIFT, FixedPoints, fill, fixed_point
from dr_pipeline.intake.phantom.lesions import Lesions

EXUDATE_COLOUR = (1.08, 0.93, 0.46)
COTTON_WOOL_COLOUR = (0.98, 0.84, 0.62)
FIBROUS_COLOUR = (0.84, 0.64, 0.38)
_DISC_BRIGHTNESS = np.float32(1.08)
# The nasal rim is thicker with nerve fibres: pinker and darker than the temporal one.
_NASAL_SHADE = np.array([0.045, 0.09, 0.09], np.float32)


def paint_optic_disc(retina: Plane, light: Plane, anatomy: Anatomy, frame: Frame) -> None:
    """Paints the optic disc over `retina` (height, width, 3) under `light` (height, width), in place."""
    centre, reach = frame.to_px(np.zeros(2)), 0.75 * frame.px_per_dd
    x0, y0 = (max(0, int(c - reach)) for c in centre)
    x1, y1 = (max(0, int(c + reach)) for c in centre)
    patch, patch_light = retina[y0:y1, x0:x1], light[y0:y1, x0:x1, None]
    ys, xs = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
    dd = frame.to_dd(np.stack([xs, ys], axis=-1)).astype(np.float32)
    x, y = dd[..., 0], dd[..., 1]
    angle = np.arctan2(y, x)
    wobble = 1 + 0.025 * np.cos(2 * angle + anatomy.disc_wobble[0]) + 0.02 * np.cos(3 * angle + anatomy.disc_wobble[1])
    radius = np.hypot(x / anatomy.disc_radii_dd[0], y / anatomy.disc_radii_dd[1]) * wobble
    cup_x, cup_y = anatomy.cup_centre_dd
    from_cup = np.hypot(x - cup_x, (y - cup_y) * 0.92) / (0.5 * anatomy.cup_to_disc)
    on_disc = _smoothstep(1.10, 0.86, radius)[..., None] * np.float32(0.93)
    in_cup = _smoothstep(1.35, 0.45, from_cup)[..., None]
    nasal = np.clip(-x / 0.5, -1, 1)[..., None] * _NASAL_SHADE
    rim = np.array(anatomy.disc_colour, np.float32) * (1 - nasal)
    colour = rim + (np.array(anatomy.cup_colour, np.float32) - rim) * in_cup
    patch += (colour * patch_light * _DISC_BRIGHTNESS - patch) * on_disc


def paint_pale_lesions(retina: Plane, light: Plane, lesions: Lesions, frame: Frame) -> None:
    """Paints fibrous tissue, cotton wool and exudates, in place; the blood comes over them."""
    layers = (
        (lesions.fibrous, FIBROUS_COLOUR, 0.45, 0.07),
        (lesions.cotton_wool, COTTON_WOOL_COLOUR, 0.78, 0.05),
        (lesions.exudates, EXUDATE_COLOUR, 0.95, 0.004),
    )
    for outlines, colour, opacity, softness_dd in layers:
        if outlines:
            polygons = [fixed_point(frame.to_px(outline)) for outline in outlines]
            _blend(retina, light, polygons, colour, opacity, softness_dd * frame.px_per_dd)


def _smoothstep(zero_at: float, one_at: float, values: Plane) -> Plane:
    t = np.clip((values - zero_at) / (one_at - zero_at), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _blend(
    retina: Plane, light: Plane, polygons: list[FixedPoints], colour: Colour, opacity: float, softness_px: float
) -> None:
    """Covers the polygons with an illuminated colour, in place, within their bounding box only."""
    corners = np.concatenate(polygons) / (1 << SHIFT)
    margin = int(4 * softness_px) + 3
    height, width = light.shape
    x0, y0 = (int(v) for v in np.clip(corners.min(axis=0) - margin, 0, (width - 1, height - 1)))
    x1, y1 = (int(v) + 1 for v in np.clip(corners.max(axis=0) + margin, 0, (width - 1, height - 1)))
    cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
    offset = np.array([x0, y0], np.int32) << SHIFT
    for polygon in polygons:
        fill(cover, polygon - offset, 255)
    alpha = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), max(0.3, softness_px)) * np.float32(opacity / 255)
    patch, patch_light = retina[y0:y1, x0:x1], light[y0:y1, x0:x1, None]
    patch += (np.array(colour, np.float32) * patch_light - patch) * alpha[..., None]
