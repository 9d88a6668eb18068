"""A first judgement of a canvas: is it a fundus, can it be graded, how well, and why not.

All measures are taken on the canonical disc at one side, so the file's resolution does not change them. The
limits are conservative: a quality gate that is too strict throws away the sickest eyes first (in EyeQ 54.5 % of
grade 4 are "Reject", 16.7–19.3 % of grade 0). They were set on the 413 IDRiD photographs: their worst value of each
measure stands beside its limit.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_radius_px, model_input
from dr_pipeline.fundus.cv import cv2
from dr_pipeline.fundus.disc import CIRCLE, Disc
from dr_pipeline.schema import Status

_SIDE_PX = 256
# Only the disc within this share of its radius is judged: rims are dim and glare there is common.
_CORE = 0.9
# A pixel is seen where its brightest channel is above this level; below it the frame was cut or nothing was lit.
_SEEN_LEVEL = 12
_MIN_SEEN_PX = 50
# Sides of box means in px of the judged canvas: vessels lie between the first two, large structures between the others.
_BOXES_PX = (3, 11, 41)
_SATURATED = 245  # in red and green at once: yellow exudates and the optic disc stay below
# Added to brightness where something is measured relative to it, so that unlit noise does not count as contrast.
_DARK_OFFSET = 8.0

DARK, OVEREXPOSED, BLURRED, LOW_CONTRAST = "dark", "overexposed", "blurred", "low_contrast"
FIELD, SMALL, NO_COLOUR, COLOUR_ORDER = "field", "small", "no_colour", "colour_order"
NO_DISC, NOT_RED, FLAT = "no_disc", "not_red", "flat"


@dataclass(frozen=True)
class Limit:
    """One measure's scale: worthless at `worst` and beyond, as good as it need be at `good`."""

    worst: float
    good: float

    def share(self, value: float) -> float:
        """0 at `worst` and beyond, 1 at `good` and beyond, straight between."""
        return min(1.0, max(0.0, (value - self.worst) / (self.good - self.worst)))


# Reason → limits of the measure of that name. In brackets: the worst of 413 IDRiD photographs.
LIMITS = {
    DARK: Limit(24.0, 150.0),  # median of the brighter of red and green [61]
    OVEREXPOSED: Limit(0.35, 0.0),  # share of saturated pixels [0.033]
    BLURRED: Limit(0.2, 0.9),  # vessel-scale detail over coarse detail [0.30]
    LOW_CONTRAST: Limit(0.012, 0.06),  # coarse detail relative to brightness [0.024]
    FIELD: Limit(0.55, 0.9),  # share of the disc that is seen [0.977]
}
# Mean red over mean green, and shares of pixels: a retina is red before green before blue [1.52, 0.99, 0.96].
_MIN_RED_OVER_GREEN = 1.08
# Without a disc, colours must be a retina's almost everywhere.
_MIN_RED_OVER_GREEN_NO_DISC, _MIN_ORDERED_SHARE_NO_DISC = 1.3, 0.9
_MIN_CHROMA = 4.0  # mean difference of a pixel's brightest and darkest channel; a grey JPEG has at most 2
# A 45° field is about 13 mm across: below this radius the largest microaneurysm (125 µm, ETDRS report 10) is one pixel.
_MIN_RADIUS_PX = 64.0
_MIN_VARIATION = 0.012  # deviation of green relative to its mean; a plain colour has none


@dataclass(frozen=True)
class Quality:
    """How far a photograph can be graded.

    Attributes:
        score: 0 (worthless) to 1.
        reasons: Codes. Of an ungradable photograph: dark, overexposed, blurred, low_contrast, field (too little of
            the disc is seen), no_colour, colour_order (red and blue exchanged), small (the disc in pixels). Of what is
            no fundus: flat, not_red, no_disc with a colour's code. A scored one may have no_disc as a remark.
        status: SCORED (gradable), UNGRADABLE or NOT_FUNDUS.
    """

    score: float
    reasons: tuple[str, ...]
    status: Status


@dataclass(frozen=True)
class Measures:
    """What is measured on a canvas; units as in `LIMITS`."""

    dark: float
    overexposed: float
    blurred: float
    low_contrast: float
    field: float
    red: float
    green: float
    blue: float
    ordered_share: float
    chroma: float
    variation: float


def assess(canvas: NDArray[np.uint8], disc: Disc) -> Quality:
    """Judges a canvas.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB.
        disc: In px of the upright original.
    """
    measures = measure(canvas)
    if measures is None:
        return Quality(0.0, (DARK,), Status.UNGRADABLE)
    shares = {reason: limit.share(getattr(measures, reason)) for reason, limit in LIMITS.items()}
    reasons = [reason for reason, share in shares.items() if share == 0.0]
    colour = _colour_fault(measures)
    # Colours and variation say nothing of what is dark, nor of a disc that is burnt out; a white page has no disc.
    if not ({DARK, OVEREXPOSED} if disc.fit == CIRCLE else {DARK}) & set(reasons):
        strange = _not_fundus(measures, disc, colour)
        if strange:
            return Quality(0.0, strange, Status.NOT_FUNDUS)
    if colour:
        reasons.append(colour)
    if disc.radius < _MIN_RADIUS_PX:
        reasons.append(SMALL)
    if reasons:
        return Quality(0.0, tuple(reasons), Status.UNGRADABLE)
    return Quality(float(np.prod(list(shares.values()))), (NO_DISC,) if disc.fit != CIRCLE else (), Status.SCORED)


def measure(canvas: NDArray[np.uint8]) -> Measures | None:
    """Measures a canvas; None where next to nothing is lit."""
    small = model_input(canvas, _SIDE_PX)
    red, green, blue = cv2.split(small)
    brighter, darker = cv2.max(red, green), cv2.min(red, green)
    brightest, darkest = cv2.max(brighter, blue), cv2.min(darker, blue)
    lit = cv2.compare(brightest, _SEEN_LEVEL, cv2.CMP_GT)
    seen = cv2.bitwise_and(lit, _core_mask())
    num_seen = cv2.countNonZero(seen)
    if num_seen < _MIN_SEEN_PX:
        return None
    vessel_detail, coarse_detail = _detail(green, lit, seen)
    saturated = cv2.bitwise_and(cv2.compare(red, _SATURATED, cv2.CMP_GE), cv2.compare(green, _SATURATED, cv2.CMP_GE))
    ordered = cv2.bitwise_and(cv2.compare(red, green, cv2.CMP_GT), cv2.compare(green, blue, cv2.CMP_GE))
    mean, deviation = cv2.meanStdDev(small, mask=seen)
    return Measures(
        dark=_median(brighter, seen),
        overexposed=cv2.countNonZero(cv2.bitwise_and(saturated, seen)) / num_seen,
        blurred=vessel_detail / max(coarse_detail, 1e-6),
        low_contrast=coarse_detail,
        field=num_seen / cv2.countNonZero(_core_mask()),
        red=float(mean[0, 0]),
        green=float(mean[1, 0]),
        blue=float(mean[2, 0]),
        ordered_share=cv2.countNonZero(cv2.bitwise_and(ordered, seen)) / num_seen,
        chroma=float(cv2.mean(cv2.subtract(brightest, darkest), mask=seen)[0]),
        variation=float(deviation[1, 0] / (mean[1, 0] + _DARK_OFFSET)),
    )


def _detail(green: NDArray[np.uint8], lit: NDArray[np.uint8], seen: NDArray[np.uint8]) -> tuple[float, float]:
    """Deviation of green at the scale of vessels and at a coarser one, each relative to local brightness.

    Means are taken over lit pixels only (normalised convolution: Knutsson and Westin, CVPR 1993), so that
    the disc's own rim is no detail.
    """
    ones, lit_green = cv2.min(lit, 1), cv2.bitwise_and(green, lit)
    fine, vessels, coarse = (cv2.divide(_box_sum(lit_green, px), _box_sum(ones, px)) for px in _BOXES_PX)
    brightness = coarse + _DARK_OFFSET
    _, vessel_detail = cv2.meanStdDev(cv2.divide(fine - vessels, brightness), mask=seen)
    _, coarse_detail = cv2.meanStdDev(cv2.divide(vessels - coarse, brightness), mask=seen)
    return float(vessel_detail[0, 0]), float(coarse_detail[0, 0])


def _box_sum(plane: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    total: NDArray[np.float32] = cv2.boxFilter(plane, cv2.CV_32F, (side_px, side_px), normalize=False)
    return total


def _median(plane: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    counts = np.cumsum(cv2.calcHist([plane], [0], mask, [256], [0, 256]))
    return float(np.searchsorted(counts, counts[-1] / 2))


@lru_cache(maxsize=1)
def _core_mask() -> NDArray[np.uint8]:
    offset = np.arange(_SIDE_PX) + 0.5 - _SIDE_PX / 2
    inside = offset[None, :] ** 2 + offset[:, None] ** 2 <= (_CORE * disc_radius_px(_SIDE_PX)) ** 2
    mask: NDArray[np.uint8] = inside.astype(np.uint8) * np.uint8(255)
    return mask


def _colour_fault(measures: Measures) -> str:
    if measures.chroma < _MIN_CHROMA:
        return NO_COLOUR
    if measures.blue > measures.green * _MIN_RED_OVER_GREEN and measures.green >= measures.red:
        return COLOUR_ORDER
    return ""


def _not_fundus(measures: Measures, disc: Disc, colour: str) -> tuple[str, ...]:
    """Why this is no fundus at all, or nothing. With a disc, doubt is in the photograph's favour."""
    if measures.variation < _MIN_VARIATION:
        return (FLAT,)
    if disc.fit == CIRCLE:
        return () if colour or measures.red >= _MIN_RED_OVER_GREEN * measures.green else (NOT_RED,)
    retina_red = measures.red >= _MIN_RED_OVER_GREEN_NO_DISC * measures.green
    if retina_red and measures.ordered_share >= _MIN_ORDERED_SHARE_NO_DISC:
        return ()
    return (NO_DISC, colour or NOT_RED)
