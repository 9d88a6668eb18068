"""Draws lesions over a photograph, in its own pixels, in colours that colour-blind readers can distinguish."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.kinds import KINDS, OPTIC_DISC

OPACITY = 0.35  # of the fill; outlines are opaque
_FRACTION_BITS = 4  # of corners, for OpenCV
_LINE_FRACTION = 1 / 1400  # of the picture's height
_CROSS_UM = 180.0  # half of the fovea's cross
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def draw_lesions(rgb: NDArray[np.uint8], findings: Findings, *, opacity: float = OPACITY) -> NDArray[np.uint8]:
    """The photograph with each lesion's outline and a translucent fill, disc and fovea; `legend_of` has the colours.

    Args:
        rgb: (height, width, 3), the upright original.
        findings: What was found in it.
        opacity: Of the fill, 0 … 1.

    Returns:
        (height, width, 3) RGB.
    """
    line_px = max(1, round(len(rgb) * _LINE_FRACTION))
    filled, kinds = rgb.copy(), [kind for kind in KINDS if kind.is_lesion and kind.name in findings.kinds]
    outlines = {kind: [_corners(one.outline) for one in findings.lesions if one.kind == kind.name] for kind in kinds}
    for kind, polygons in outlines.items():
        for polygon in polygons:  # one by one: together, where two overlap there would be a hole
            cv2.fillPoly(filled, [polygon], kind.colour, cv2.LINE_AA, _FRACTION_BITS)
    drawn = np.asarray(cv2.addWeighted(filled, opacity, rgb, 1 - opacity, 0), np.uint8)
    for kind, polygons in outlines.items():  # on black, or orange outlines would vanish on an orange fundus
        for colour, thickness in ((_BLACK, 2 * line_px), (kind.colour, line_px)):
            cv2.polylines(drawn, polygons, True, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)
    _draw_landmarks(drawn, findings, line_px)
    return drawn


def legend_of(findings: Findings) -> list[tuple[tuple[int, int, int], str]]:
    """Colour, RGB, and name with number of each kind of lesion that was looked for."""
    kinds = [kind for kind in KINDS if kind.is_lesion and kind.name in findings.kinds]
    return [(kind.colour, f"{kind.name.replace('_', ' ')}: {findings.count(kind.name)}") for kind in kinds]


def _corners(outline: tuple[tuple[float, float], ...]) -> NDArray[np.int32]:
    """Continuous px, in which a pixel's centre lies at .5, as OpenCV's, in which it lies at 0."""
    return np.rint((np.array(outline) - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)


def _draw_landmarks(drawn: NDArray[np.uint8], findings: Findings, line_px: int) -> None:
    """The optic disc as a circle of the canvas, which is an ellipse in a squashed photograph, the fovea as a cross."""
    _, _, width, height = findings.window
    stretch = np.sqrt([width / height, height / width])  # of lengths, which are means of both directions
    if findings.disc is not None:
        x, y, diameter = findings.disc
        centre = _corners(((x, y),))[0].tolist()
        axes = np.rint(diameter / 2 * stretch * (1 << _FRACTION_BITS)).astype(int).tolist()
        cv2.ellipse(drawn, centre, axes, 0, 0, 360, OPTIC_DISC.colour, line_px, cv2.LINE_AA, _FRACTION_BITS)
    if findings.fovea is not None:
        x, y = findings.fovea
        across, down = _CROSS_UM / findings.um_per_px * stretch
        arms = [_corners(((x - across, y), (x + across, y))), _corners(((x, y - down), (x, y + down)))]
        for colour, thickness in ((_BLACK, 3 * line_px), (_WHITE, line_px)):
            cv2.polylines(drawn, arms, False, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)
