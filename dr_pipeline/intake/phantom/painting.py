"""Paints the retina: optic disc and bright lesions as colour, vessels and hemorrhages as optical density.

cv2 draws at sub-pixel positions in fixed-point coordinates.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.anatomy import Anatomy, Colour
from dr_pipeline.intake.phantom.background import Plane
from dr_pipeline.intake.phantom.cameras import Frame, Points
from dr_pipeline.intake.phantom.lesions import Lesions, Line
from dr_pipeline.intake.phantom.vessels import Vessels
from dr_pipeline.lesions.kinds import (
    COTTON_WOOL_SPOTS,
    FIBROUS_TISSUE,
    FOVEA,
    HARD_EXUDATES,
    HEMORRHAGES,
    IRMA,
    MICROANEURYSMS,
    NEW_VESSELS,
    OPTIC_DISC,
    PRERETINAL_HEMORRHAGES,
    VENOUS_BEADING,
    Kind,
    Masks,
    with_plane,
)

ByteImage = NDArray[np.uint8]
FixedPoints = NDArray[np.int32]
_SHIFT = 4  # fractional bits of cv2's coordinates: 1/16 px
_HALF = 128  # of an antialiased pixel

EXUDATE_COLOUR = (1.08, 0.93, 0.46)
COTTON_WOOL_COLOUR = (0.98, 0.84, 0.62)
FIBROUS_COLOUR = (0.84, 0.64, 0.38)
_DISC_BRIGHTNESS = np.float32(1.08)
_DISC_EDGE = (1.10, 0.86)  # where the disc's colour begins and where it is full, of its radius
FOVEA_RADIUS_DD = 0.25
# The nasal rim has more nerve fibres: pinker and darker than the temporal one.
_NASAL_SHADE = np.array([0.045, 0.09, 0.09], np.float32)
# Absorption (red, green, blue) of blood of optical density 1: it absorbs green and blue and transmits red.
# Set by eye against IDRiD's vessels.
ABSORPTION = np.array([0.30, 0.80, 0.70], np.float32)
BYTES_PER_DENSITY = 127.5  # densities are drawn as bytes, up to 2
VEIN_DENSITY, ARTERY_DENSITY = 1.0, 0.72
_FULL_DENSITY_FROM_DD = 0.036  # finer vessels have a shorter path through blood
_DENSITY_LEVELS = 12  # vessels are grouped by them into few calls of cv2
_REFLEX_WIDTH, _REFLEX_DENSITY = 0.30, 0.68  # of the vessel's
_REFLEX_FROM_PX = 5
_VESSEL_EDGE_DD = 0.006  # softness of a vessel's edge
_SEEP_DD = 0.010  # softness of a hemorrhage's edge


def paint_optic_disc(retina: Plane, light: Plane, anatomy: Anatomy, frame: Frame) -> None:
    """Paints the optic disc over `retina` (height, width, 3) under `light` (height, width), in place."""
    place, x, y, radius = _disc_coordinates(anatomy, frame)
    patch, patch_light = retina[place], light[place][..., None]
    cup_x, cup_y = anatomy.cup_centre_dd
    from_cup = np.hypot(x - cup_x, (y - cup_y) * 0.92) / (0.5 * anatomy.cup_to_disc)
    on_disc = _smoothstep(*_DISC_EDGE, radius)[..., None] * np.float32(0.93)
    in_cup = _smoothstep(1.35, 0.45, from_cup)[..., None]
    nasal = np.clip(-x / 0.5, -1, 1)[..., None] * _NASAL_SHADE
    rim = np.array(anatomy.disc_colour, np.float32) * (1 - nasal)
    colour = rim + (np.array(anatomy.cup_colour, np.float32) - rim) * in_cup
    patch += (colour * patch_light * _DISC_BRIGHTNESS - patch) * on_disc


def paint_bright_lesions(retina: Plane, light: Plane, lesions: Lesions, frame: Frame) -> None:
    """Paints fibrous tissue, cotton wool and exudates, in place; call it before `absorb`."""
    layers = (
        (lesions.fibrous, FIBROUS_COLOUR, 0.45, 0.07),
        (lesions.cotton_wool, COTTON_WOOL_COLOUR, 0.78, 0.05),
        (lesions.exudates, EXUDATE_COLOUR, 0.95, 0.004),
    )
    for outlines, colour, opacity, softness_dd in layers:
        if outlines:
            polygons = [fixed_point(frame.to_px(outline)) for outline in outlines]
            _blend(retina, light, polygons, colour, opacity, softness_dd * frame.px_per_dd)


def vessel_density(vessels: Vessels, frame: Frame) -> ByteImage:
    """Draws the vessels (height, width), thin ones first, each with the bright light reflex along its middle.

    They are drawn at twice the resolution and averaged, since cv2 draws whole pixels of thickness only.
    """
    large = np.zeros((2 * frame.height_px, 2 * frame.width_px), np.uint8)
    runs = sorted(_runs(vessels, frame).items(), key=lambda run: run[0])
    for (thickness, level), lines in runs:
        draw_lines(large, lines, level, thickness)
    for (thickness, level), lines in runs:
        if thickness >= _REFLEX_FROM_PX:
            draw_lines(large, lines, level * _REFLEX_DENSITY, round(_REFLEX_WIDTH * thickness))
    small = cv2.resize(large, (frame.width_px, frame.height_px), interpolation=cv2.INTER_AREA)
    return _soften(small, _VESSEL_EDGE_DD * frame.px_per_dd)


def lesion_density(lesions: Lesions, frame: Frame) -> ByteImage:
    """Draws hemorrhages, microaneurysms, beading, IRMA and new vessels (height, width)."""
    density = _blank(frame)
    for line, width_dd, level in lesions.lines:
        width_px = width_dd * frame.px_per_dd
        # A line of less than one pixel is drawn one pixel wide and fainter.
        strength = min(1.0, width_px)
        draw_lines(
            density, [fixed_point(frame.to_px(line))], level * BYTES_PER_DENSITY * strength, max(1, round(width_px))
        )
    for outline, level in lesions.blood:
        fill(density, fixed_point(frame.to_px(outline)), level * BYTES_PER_DENSITY)
    return _soften(density, _SEEP_DD * frame.px_per_dd)


def kind_masks(lesions: Lesions, anatomy: Anatomy, frame: Frame) -> Masks:
    """Where each kind of lesion and landmark can be seen, before any blur; (height, width), bit k is kind k.

    Lesions are marked within their outlines and along their lines, the optic disc to the middle of its soft edge, the
    fovea by a circle of half a disc diameter; all within the field. What a later lesion hides is not marked: an IRMA
    under a hemorrhage leaves no trace in the photograph. Blood lets light through, so exudates under it are marked.
    """
    lines = {VENOUS_BEADING: lesions.beading, IRMA: lesions.irma, NEW_VESSELS: lesions.new_vessels}
    blood = {
        MICROANEURYSMS: lesions.microaneurysms,
        HEMORRHAGES: lesions.hemorrhages,
        PRERETINAL_HEMORRHAGES: lesions.preretinal,
    }
    bright = {
        FIBROUS_TISSUE: lesions.fibrous,
        COTTON_WOOL_SPOTS: lesions.cotton_wool,
        HARD_EXUDATES: lesions.exudates,
    }
    painted = [(kind, _draw_mask(frame, lines=items)) for kind, items in lines.items()]
    painted += [(kind, _draw_mask(frame, outlines=[one for one, _ in items])) for kind, items in blood.items()]
    drawn = _hide_covered(painted) | _hide_covered(
        [(kind, _draw_mask(frame, outlines=items)) for kind, items in bright.items()]
    )
    drawn[OPTIC_DISC], drawn[FOVEA], field = _blank(frame), _blank(frame), _blank(frame)
    place, _, _, radius = _disc_coordinates(anatomy, frame)
    drawn[OPTIC_DISC][place] = np.where(radius <= sum(_DISC_EDGE) / 2, 255, 0)
    fill_circle(drawn[FOVEA], frame.to_px(np.array(anatomy.fovea_dd)), FOVEA_RADIUS_DD * frame.px_per_dd, 255)
    fill_circle(field, np.array(frame.centre_px), frame.radius_px, 255)
    masks = np.zeros(field.shape, np.uint16)
    for kind, plane in drawn.items():
        masks = with_plane(masks, kind, (plane >= _HALF) & (field >= _HALF))
    return masks


def _draw_mask(frame: Frame, *, lines: Sequence[Line] = (), outlines: Sequence[Points] = ()) -> ByteImage:
    plane = _blank(frame)
    for line, width_dd, _ in lines:
        draw_lines(plane, [fixed_point(frame.to_px(line))], 255, max(1, round(width_dd * frame.px_per_dd)))
    for outline in outlines:
        fill(plane, fixed_point(frame.to_px(outline)), 255)
    return plane


def _hide_covered(painted: Sequence[tuple[Kind, ByteImage]]) -> dict[Kind, ByteImage]:
    """What is seen of layers that cover one another, in the order of painting."""
    covered, seen = np.zeros(painted[0][1].shape, bool), {}
    for kind, plane in reversed(painted):
        seen[kind] = np.where(covered, np.uint8(0), plane)
        covered |= plane >= _HALF
    return seen


def absorb(retina: Plane, density: ByteImage) -> None:
    """Attenuates the light by the blood, in place (Beer–Lambert law)."""
    levels = np.arange(256, dtype=np.float32)[None, :, None] / np.float32(BYTES_PER_DENSITY)
    transmission = np.exp(-levels * ABSORPTION)
    cv2.multiply(retina, cv2.LUT(cv2.merge([density, density, density]), transmission), dst=retina)


def fixed_point(points_px: Points) -> FixedPoints:
    """Pixels (..., 2) as integers with `_SHIFT` fractional bits."""
    return np.rint(points_px * (1 << _SHIFT)).astype(np.int32)


def draw_lines(plane: ByteImage, lines: list[FixedPoints], value: float, thickness_px: int) -> None:
    """Draws open, antialiased lines, in place."""
    cv2.polylines(plane, lines, isClosed=False, color=value, thickness=thickness_px, lineType=cv2.LINE_AA, shift=_SHIFT)


def fill(plane: ByteImage, outline: FixedPoints, value: float) -> None:
    """Fills one antialiased polygon, in place."""
    cv2.fillPoly(plane, [outline], value, cv2.LINE_AA, _SHIFT)


def fill_circle(plane: ByteImage, centre_px: Points, radius_px: float, value: float) -> None:
    """Fills one antialiased circle, in place."""
    x, y = (int(c) for c in fixed_point(centre_px))
    cv2.circle(plane, (x, y), round(radius_px * (1 << _SHIFT)), value, -1, cv2.LINE_AA, _SHIFT)


def _disc_coordinates(anatomy: Anatomy, frame: Frame) -> tuple[tuple[slice, slice], Plane, Plane, Plane]:
    """Around the optic disc: the place in the picture, x and y in DD, and the distance from its centre; 1: its rim."""
    centre, reach = frame.to_px(np.zeros(2)), 0.75 * frame.px_per_dd
    x0, y0 = (max(0, int(c - reach)) for c in centre)
    x1, y1 = (max(0, int(c + reach)) for c in centre)
    x1, y1 = max(x0, min(x1, frame.width_px)), max(y0, min(y1, frame.height_px))
    ys, xs = np.mgrid[y0:y1, x0:x1]
    dd = frame.to_dd(np.stack([xs, ys], axis=-1)).astype(np.float32)
    x, y = dd[..., 0], dd[..., 1]
    angle = np.arctan2(y, x)
    wobble = 1 + 0.025 * np.cos(2 * angle + anatomy.disc_wobble[0]) + 0.02 * np.cos(3 * angle + anatomy.disc_wobble[1])
    radius = np.hypot(x / anatomy.disc_radii_dd[0], y / anatomy.disc_radii_dd[1]) * wobble
    return (slice(y0, y1), slice(x0, x1)), x, y, radius


def _blank(frame: Frame) -> ByteImage:
    return np.zeros((frame.height_px, frame.width_px), np.uint8)


def _smoothstep(zero_at: float, one_at: float, values: Plane) -> Plane:
    t = np.clip((values - zero_at) / (one_at - zero_at), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _blend(
    retina: Plane,
    light: Plane,
    polygons: list[FixedPoints],
    colour: Colour,
    opacity: float,
    softness_px: float,
) -> None:
    """Covers the polygons with an illuminated colour, in place, within their bounding box only."""
    corners = np.concatenate(polygons) / (1 << _SHIFT)
    margin = int(4 * softness_px) + 3
    height, width = light.shape
    x0, y0 = (int(v) for v in np.clip(corners.min(axis=0) - margin, 0, (width - 1, height - 1)))
    x1, y1 = (int(v) + 1 for v in np.clip(corners.max(axis=0) + margin, 0, (width - 1, height - 1)))
    cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
    offset = np.array([x0, y0], np.int32) << _SHIFT
    for polygon in polygons:
        fill(cover, polygon - offset, 255)
    alpha = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), max(0.3, softness_px)) * np.float32(opacity / 255)
    patch, patch_light = retina[y0:y1, x0:x1], light[y0:y1, x0:x1, None]
    patch += (np.array(colour, np.float32) * patch_light - patch) * alpha[..., None]


def _runs(vessels: Vessels, frame: Frame) -> dict[tuple[int, int], list[FixedPoints]]:
    """Cuts the tapering vessels into segments of one thickness (px at twice the resolution) and one density (bytes)."""
    points = fixed_point(2 * frame.to_px(vessels.points) + 0.5)
    thickness = np.where(vessels.widths > 0, np.maximum(1, np.rint(2 * frame.px_per_dd * vessels.widths)), 0)
    density = np.where(vessels.is_vein, VEIN_DENSITY, ARTERY_DENSITY)[:, None]
    density = density * np.clip(0.15 + 0.85 * vessels.widths / _FULL_DENSITY_FROM_DD, 0.4, 1.0)
    level = np.rint(density * _DENSITY_LEVELS) / _DENSITY_LEVELS * BYTES_PER_DENSITY
    runs: dict[tuple[int, int], list[FixedPoints]] = {}
    for line, widths, levels in zip(points, thickness.astype(np.int64), level.astype(np.int64), strict=True):
        cuts = np.flatnonzero((np.diff(widths) != 0) | (np.diff(levels) != 0)) + 1
        for start, stop in zip([0, *cuts], [*cuts, len(line)], strict=True):
            if widths[start] > 0:
                key = (int(widths[start]), int(levels[start]))
                runs.setdefault(key, []).append(line[start : stop + 1])
    return runs


def _soften(density: ByteImage, sigma_px: float) -> ByteImage:
    return np.asarray(cv2.GaussianBlur(density, (0, 0), max(0.3, sigma_px)), np.uint8)
