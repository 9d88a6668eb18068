"""Optic disc and fovea on the canvas, and the yardstick that they give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.components import Component
from dr_pipeline.lesions.findings import DISC_DIAMETER_UM, FoveaMethod, Yardstick
from dr_pipeline.lesions.retina import retina_mask

# Measured by the declared field, a disc's diameter lies in this range: healthy ones 1.2 to 2.5 mm (Jonas, IOVS 1988),
# and the field's own angle is known to some tenths only.
_PLAUSIBLE_DISC_UM = (800.0, 3200.0)
_MIN_ROUNDNESS = 0.5  # short over long side: a disc at the rim may be cut
# The fovea lies 2.5 disc diameters temporal of the disc's centre and 6° below it (Rohrschneider, IOVS 2004: 15.5° and
# 1.5°, with a disc of about 6°).
_FOVEA_DD, _FOVEA_BELOW_RAD = 2.5, np.radians(6)
_PLAUSIBLE_FOVEA_DD = (1.5, 4.0)
# A disc this near to the field's centre may have the fovea on either side: where one is darker by this fraction, there.
# Else nearer than half of it nothing is known; farther, the photograph was aimed between disc and fovea.
_CENTRAL_DISC_DD, _MIDDLE_DISC_DD, _CLEARLY_DARKER = 1.0, 0.5, 0.15
# How the darkest place is searched: at so many px per disc diameter, this far from the expected place.
_SEARCH_PX_PER_DD, _SEARCH_DD = 24, 0.8
_VESSEL_DD, _FOVEA_SIGMA_DD, _GROUND_SIGMA_DD = 0.2, 0.22, 1.2
_DISTANCE_COST = 0.1  # of darkness, at the search's edge
_MIN_DARKNESS = 0.03  # less is no fovea, but noise
_BLACK, _MAX_LESION_SHARE = 8, 0.1  # what is outside the photograph, or a dark lesion, is no tissue
# The field's edge is dark by vignetting: no fovea is searched this near to it, nor where the edge beside it is darker.
_RIM_DD, _BESIDE_DD = 0.5, 0.25


@dataclass(frozen=True)
class OpticDisc:
    """The optic disc, in px of the canvas: its centre, and the diameter of the circle of its convex hull's area."""

    x: float
    y: float
    diameter: float


@dataclass(frozen=True)
class Landmarks:
    """What positions and lengths are measured by, in px of the canvas.

    Attributes:
        disc: None where no plausible one was found.
        fovea: X and y; None where it is not known.
        fovea_method: How it was found.
        um_per_px: Of the canvas.
        yardstick: Where `um_per_px` comes from.
    """

    disc: OpticDisc | None
    fovea: tuple[float, float] | None
    fovea_method: FoveaMethod
    um_per_px: float
    yardstick: Yardstick


def find_landmarks(
    canvas: NDArray[np.uint8],
    discs: Sequence[Component],
    foveas: Sequence[Component],
    *,
    um_per_px: float,
    lesions: NDArray[np.bool_],
    faint_disc: bool = False,
) -> Landmarks:
    """Landmarks of an upright photograph.

    Args:
        canvas: (S, S, 3) RGB.
        discs: Components of the optic disc.
        foveas: Components of the fovea; none where the network does not look for it.
        um_per_px: Of the canvas, as the network declares it; what is used where there is no disc.
        lesions: (S, S) where dark lesions are, which are no fovea.
        faint_disc: Whether the network was unsure of `discs`: their place is taken, their size is no yardstick.
    """
    disc = find_optic_disc(discs, um_per_px=um_per_px)
    found, method = _fovea(canvas, disc, foveas, lesions)
    if disc is None or faint_disc:
        return Landmarks(disc, found, method, um_per_px, Yardstick.FIELD)
    return Landmarks(disc, found, method, DISC_DIAMETER_UM / disc.diameter, Yardstick.OPTIC_DISC)


def find_optic_disc(components: Sequence[Component], *, um_per_px: float) -> OpticDisc | None:
    """The component that is most likely the disc: of plausible size and roundness, the largest times its probability.

    Its convex hull is taken, since vessels cut notches into it.
    """
    best, disc = 0.0, None
    for component in components:
        hull = cv2.convexHull(component.outline.astype(np.float32))
        area = float(cv2.contourArea(hull))
        diameter = float(np.sqrt(4 * area / np.pi))
        short, long = sorted(cv2.minAreaRect(hull)[1])
        smallest, largest = _PLAUSIBLE_DISC_UM
        plausible = smallest <= diameter * um_per_px <= largest and short >= _MIN_ROUNDNESS * long
        if plausible and area * component.probability > best:
            best = area * component.probability
            moments = cv2.moments(hull)
            disc = OpticDisc(moments["m10"] / moments["m00"], moments["m01"] / moments["m00"], diameter)
    return disc


def _fovea(
    canvas: NDArray[np.uint8], disc: OpticDisc | None, foveas: Sequence[Component], lesions: NDArray[np.bool_]
) -> tuple[tuple[float, float] | None, FoveaMethod]:
    """The network's where it is plausible, else the darkest place near the expected one, else that."""
    nearest, farthest = _PLAUSIBLE_FOVEA_DD
    for component in sorted(foveas, key=lambda component: -component.area * component.probability):
        place = component.x, component.y
        if disc is None or nearest <= np.hypot(place[0] - disc.x, place[1] - disc.y) / disc.diameter <= farthest:
            return place, FoveaMethod.NETWORK
    if disc is None:
        return None, FoveaMethod.NONE
    expected = _expected(disc, len(canvas))
    searched = [_darkest(canvas, disc, place, lesions) for place in expected]
    if len(expected) > 1:
        if (darker := _of_the_darker_side(searched)) is not None:
            return darker, FoveaMethod.DARKEST
        if abs(len(canvas) / 2 - disc.x) < _MIDDLE_DISC_DD * disc.diameter:
            return None, FoveaMethod.NONE
    if (found := searched[0]) is not None and found.value >= _MIN_DARKNESS:
        return found.place, FoveaMethod.DARKEST
    return (expected[0], FoveaMethod.EXPECTED) if _is_in_field(expected[0], len(canvas)) else (None, FoveaMethod.NONE)


@dataclass(frozen=True)
class _Dark:
    """The darkest region of the fovea's size near a place.

    Attributes:
        value: The green channel's fraction below its surroundings, less the cost of the distance from that place.
        place: Its centre, px of the canvas.
    """

    value: float
    place: tuple[float, float]


def _of_the_darker_side(sides: Sequence[_Dark | None]) -> tuple[float, float] | None:
    """The darkest place of the side that clearly has one; a side that cannot be searched leaves it open."""
    found = sorted((side for side in sides if side is not None), key=lambda side: side.value)
    clear = len(found) == len(sides) and found[-1].value - max(found[0].value, 0) >= _CLEARLY_DARKER
    return found[-1].place if clear else None


def _expected(disc: OpticDisc, side: int) -> list[tuple[float, float]]:
    """Where the fovea is expected: on the side of the field's centre; where the disc is near it, then on the other."""
    offset = side / 2 - disc.x
    towards_centre = 1 if offset >= 0 else -1
    sides = (towards_centre, -towards_centre) if abs(offset) < _CENTRAL_DISC_DD * disc.diameter else (towards_centre,)
    reach = _FOVEA_DD * disc.diameter
    across, down = reach * np.cos(_FOVEA_BELOW_RAD), reach * np.sin(_FOVEA_BELOW_RAD)
    return [(float(disc.x + towards * across), float(disc.y + down)) for towards in sides]


def _is_in_field(place: tuple[float, float], side: int) -> bool:
    return bool(np.hypot(place[0] - side / 2, place[1] - side / 2) < disc_radius_px(side))


def _darkest(
    canvas: NDArray[np.uint8], disc: OpticDisc, expected: tuple[float, float], lesions: NDArray[np.bool_]
) -> _Dark | None:
    """The darkest region near a place; None where the field shows nothing of it, or grows darker towards its edge.

    Vessels are closed and dark lesions left out; what is farther from the expected place counts less.
    """
    scale = _SEARCH_PX_PER_DD / disc.diameter
    small_side = round(len(canvas) * scale)
    size = (small_side, small_side)
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    green, retina = np.ascontiguousarray(small[..., 1]), retina_mask(small)
    lesion_share = cv2.resize(lesions.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    known = (retina & (green > _BLACK) & (lesion_share < _MAX_LESION_SHARE)).astype(np.float32)
    vessel_px = 2 * round(_VESSEL_DD * _SEARCH_PX_PER_DD / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (vessel_px, vessel_px))
    closed = cv2.morphologyEx(green, cv2.MORPH_CLOSE, kernel).astype(np.float32)

    def smooth(sigma_dd: float) -> NDArray[np.float32]:
        weight = cv2.GaussianBlur(known, (0, 0), sigma_dd * _SEARCH_PX_PER_DD)
        blurred = cv2.GaussianBlur(closed * known, (0, 0), sigma_dd * _SEARCH_PX_PER_DD)
        return np.asarray(blurred / np.maximum(weight, 1e-3), np.float32)

    darkness = 1 - smooth(_FOVEA_SIGMA_DD) / np.maximum(smooth(_GROUND_SIGMA_DD), 1)
    centre = np.arange(small_side) + 0.5
    distance = np.hypot(centre[None] - expected[0] * scale, centre[:, None] - expected[1] * scale)
    fraction = distance / (_SEARCH_DD * _SEARCH_PX_PER_DD)
    framed = cv2.copyMakeBorder(retina.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    from_rim = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    rim = from_rim < _RIM_DD * _SEARCH_PX_PER_DD
    side = 2 * round(_BESIDE_DD * _SEARCH_PX_PER_DD) + 1
    beside = cv2.dilate(np.where(rim & (known > 0), darkness, -1).astype(np.float32), np.ones((side, side), np.uint8))
    searched = (fraction <= 1) & (known > 0) & ~rim & (darkness >= beside)
    if not searched.any():
        return None
    value = np.where(searched, darkness - _DISTANCE_COST * fraction**2, -np.inf)
    row, column = np.unravel_index(int(np.argmax(value)), value.shape)
    place = float(column + 0.5) / scale, float(row + 0.5) / scale
    return _Dark(float(value[row, column]), place)
