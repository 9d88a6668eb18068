"""Everything red: vessels and haemorrhages as optical density, and the light that gets through."""

import cv2
import numpy as np

from dr_pipeline.intake.phantom.background import Plane
from dr_pipeline.intake.phantom.cameras import Frame
from dr_pipeline.intake.phantom.drawing import Bytes, FixedPoints, draw_lines, fill, fixed_point
from dr_pipeline.intake.phantom.lesions import Lesions
from dr_pipeline.intake.phantom.vessels import Vessels

# Absorption (red, green, blue) of blood of optical density 1: it takes green and blue, and leaves red.
# Set by eye against IDRiD's vessels.
ABSORPTION = np.array([0.30, 0.80, 0.70], np.float32)
BYTES_PER_DENSITY = 127.5  # densities are drawn as bytes, up to 2
VEIN_DENSITY, ARTERY_DENSITY = 1.0, 0.72
_FULL_DENSITY_FROM_DD = 0.036  # finer vessels hold less blood in the light's way
_DENSITY_LEVELS = 12  # by which vessels are gathered into few calls of cv2
_REFLEX_WIDTH, _REFLEX_DENSITY = 0.30, 0.68  # of the vessel's
_REFLEX_FROM_PX = 5
_VESSEL_EDGE_DD = 0.006  # softness of a vessel's edge
_SEEP_DD = 0.010  # softness of a haemorrhage's edge


def vessel_density(vessels: Vessels, frame: Frame) -> Bytes:
    """Draws the vessels (height, width), thin ones first, each with the pale light reflex along its middle.

    They are drawn at twice the resolution and averaged, since cv2 knows only whole pixels of thickness.
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


def _runs(vessels: Vessels, frame: Frame) -> dict[tuple[int, int], list[FixedPoints]]:
    """Cuts the tapering vessels into pieces of one thickness (px at twice the resolution) and one density (bytes)."""
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


def lesion_density(lesions: Lesions, frame: Frame) -> Bytes:
    """Draws haemorrhages, microaneurysms, beading, IRMA and new vessels (height, width)."""
    density = np.zeros((frame.height_px, frame.width_px), np.uint8)
    for line, width_dd, level in lesions.lines:
        width_px = width_dd * frame.px_per_dd
        # A line of less than one pixel is drawn one pixel wide and paler.
        paleness = min(1.0, width_px)
        draw_lines(
            density, [fixed_point(frame.to_px(line))], level * BYTES_PER_DENSITY * paleness, max(1, round(width_px))
        )
    for outline, level in lesions.blood:
        fill(density, fixed_point(frame.to_px(outline)), level * BYTES_PER_DENSITY)
    return _soften(density, _SEEP_DD * frame.px_per_dd)


def _soften(density: Bytes, sigma_px: float) -> Bytes:
    return np.asarray(cv2.GaussianBlur(density, (0, 0), max(0.3, sigma_px)), np.uint8)


def absorb(retina: Plane, density: Bytes) -> None:
    """Lets the light through the blood, in place (Beer and Lambert)."""
    levels = np.arange(256, dtype=np.float32)[None, :, None] / np.float32(BYTES_PER_DENSITY)
    transmission = np.exp(-levels * ABSORPTION)
    cv2.multiply(retina, cv2.LUT(cv2.merge([density, density, density]), transmission), dst=retina)
