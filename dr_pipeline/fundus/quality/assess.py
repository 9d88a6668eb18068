"""Assesses image quality: whether a canvas shows a fundus and can be graded, its score, standard error and reasons.

The limits are conservative, because a strict quality gate rejects the sickest eyes first (in EyeQ 54.5 % of grade 4 are
"Reject", 16.7–19.3 % of grade 0). They were set on the 413 IDRiD photographs, whose worst value of each measure is
given beside its limit. A photograph is called no fundus only on evidence that it shows something else; whatever is
merely unusual is left to a person.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.quality.already_enhanced import ACCEPT, ALREADY_ENHANCED, PERSON, is_already_enhanced
from dr_pipeline.fundus.quality.colour_checks import (
    COLOUR_ORDER,
    MONOCHROME,
    NO_COLOUR,
    NOT_RED,
    colour_fault,
    is_monochrome,
    is_retina_red,
)
from dr_pipeline.fundus.quality.measures import Appearance, Cells, Measures, appearance, measure_cells
from dr_pipeline.fundus.quality.other_pictures import FLAT, HARSH, OUTLINES, other_picture_reasons, scene_doubts
from dr_pipeline.fundus.quality.tissue import UNLIKE_TISSUE, is_unlike
from dr_pipeline.schema import Status

__all__ = [
    "ALREADY_ENHANCED",
    "ARTEFACT",
    "BLURRED",
    "COLOUR_ORDER",
    "DARK",
    "FIELD",
    "LIMITS",
    "LOW_CONTRAST",
    "MONOCHROME",
    "NOT_RED",
    "NO_COLOUR",
    "NO_DISC",
    "OFF_CENTRE",
    "OVEREXPOSED",
    "SMALL",
    "UNLIKE_TISSUE",
    "Limit",
    "Quality",
    "assess",
]

DARK, OVEREXPOSED, BLURRED, LOW_CONTRAST = "dark", "overexposed", "blurred", "low_contrast"
FIELD, OFF_CENTRE, ARTEFACT, SMALL, NO_DISC = "field", "off_centre", "artefact", "small", "no_disc"


@dataclass(frozen=True)
class Limit:
    """The scale of one measure, from `worst` (ungradable) to `good` (no loss).

    Attributes:
        worst: In the measure's unit.
        good: In the measure's unit; may be below `worst`.
        weight: Exponent with which the fraction enters the score.
    """

    worst: float
    good: float
    weight: float

    def fraction(self, value: float) -> float:
        """0 at `worst` and beyond, 1 at `good` and beyond, linear between."""
        return min(1.0, max(0.0, (value - self.worst) / (self.good - self.worst)))

    def factor(self, value: float) -> float:
        """The factor that the measure contributes to the score."""
        return float(self.fraction(value) ** self.weight)


# Reason → limit of the measure of that name (see `Measures`). In brackets: the worst of 413 IDRiD photographs.
LIMITS = {
    DARK: Limit(20.0, 125.0, 1.5),  # [60]
    OVEREXPOSED: Limit(0.65, 0.0, 2.0),  # [0.11]
    BLURRED: Limit(0.02, 0.35, 1.2),  # [0.14]
    LOW_CONTRAST: Limit(0.007, 0.03, 0.3),  # [0.016]
    FIELD: Limit(0.5, 0.92, 1.0),  # [0.95]
    OFF_CENTRE: Limit(0.25, 0.008, 4.0),  # [0.004]
    ARTEFACT: Limit(0.35, 0.0, 18.0),  # [0.060]
}
# Of `Measures.overexposed`: from here on red is clipped over most of the field: its ratio to green is not known.
_RED_CLIPPED = 0.1
# A scored photograph lists the measures whose factor is below this, so that one rejected by a site's threshold has a
# reason: the product of seven factors above it exceeds 0.02.
_REMARK_BELOW = 0.6
# A 45° field is about 13 mm across: below this radius the largest microaneurysm (125 µm, ETDRS report 10) is one pixel.
_MIN_RADIUS_PX = 64.0
# Width over height of what is lit, where no rim was found: a longer picture may show several fields, or a part of one.
# `field` takes a still longer one for several at once; this doubt comes after the evidence of another picture, so that
# a wide scan or page is called what it is.
_MAX_ASPECT_NO_DISC = 1.6


@dataclass(frozen=True)
class Quality:
    """Image quality of one photograph.

    Attributes:
        score: 0 (ungradable) to 1.
        spread: The score's jackknife standard error over the disc's four quadrants. 0 if the photograph is rejected
            for a reason that is not one of the limits.
        reasons: Codes. Ungradable, a person decides: dark, overexposed, blurred, low_contrast, field (too little of the
            disc is visible), off_centre (the disc is cut off on one side), artefact (stray or lost light), no_colour,
            monochrome (grey, coloured by a ramp), colour_order (red and blue exchanged), not_red, no_disc (with a
            colour's code), page, outlines, harsh and unlike_tissue (in a field: perhaps a scene), already_enhanced,
            small (the disc in pixels), several_fields, small_field, cut_field (`Disc.fault`). Not a fundus: the
            evidence, see `dr_pipeline.fundus.quality.other_pictures`. Scored: the measures that lower the score most,
            no_disc, and already_enhanced where the policy accepts it.
        status: SCORED (gradable), UNGRADABLE or NOT_FUNDUS.
        appearance: Measured whatever the status; None if next to nothing is visible.
    """

    score: float
    spread: float
    reasons: tuple[str, ...]
    status: Status
    appearance: Appearance | None = None


def assess(canvas: NDArray[np.uint8], disc: Disc, *, already_enhanced: str = PERSON) -> Quality:
    """Assesses a canvas.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB, not enhanced by this pipeline.
        disc: In px of the upright original.
        already_enhanced: What to do with a photograph that was enhanced before, one of `already_enhanced.POLICIES`.
    """
    cells = measure_cells(canvas)
    measures = cells.measures() if cells else None
    quality = _assess(cells, measures, disc, already_enhanced)
    return replace(quality, appearance=appearance(cells, measures)) if cells and measures else quality


def _assess(cells: Cells | None, measures: Measures | None, disc: Disc, already_enhanced: str) -> Quality:
    enhanced = cells is not None and measures is not None and is_already_enhanced(cells, measures)
    if disc.fault:
        return Quality(0.0, 0.0, (disc.fault, *([ALREADY_ENHANCED] if enhanced else [])), Status.UNGRADABLE)
    if cells is None or measures is None:
        return Quality(0.0, 0.0, (DARK,), Status.UNGRADABLE)
    has_field = disc.fit == CIRCLE
    factors = _factors(measures)
    failed = [reason for reason, factor in factors.items() if factor == 0.0]
    # Colours mean nothing in a dark picture, nor in an overexposed field; a white page has no field.
    shown = not ({DARK, OVEREXPOSED} if has_field else {DARK}) & set(failed)
    evidence, certain = _evidence(cells, measures, has_field=has_field, enhanced=enhanced) if shown else ((), False)
    if certain:
        return Quality(0.0, 0.0, evidence, Status.NOT_FUNDUS)
    doubts = list(evidence)
    if not enhanced:
        doubts += _colour_doubts(cells, measures, has_field=has_field)
        doubts += _tissue_doubts(cells, evidence, factors[ARTEFACT]) if shown else []
    if enhanced and already_enhanced != ACCEPT:
        doubts.append(ALREADY_ENHANCED)
    if disc.radius < _MIN_RADIUS_PX:
        doubts.append(SMALL)
    if not has_field and not 1 / _MAX_ASPECT_NO_DISC <= disc.aspect <= _MAX_ASPECT_NO_DISC and NO_DISC not in doubts:
        doubts.append(NO_DISC)
    if doubts:
        return Quality(0.0, 0.0, (*failed, *doubts), Status.UNGRADABLE)
    spread = _spread(cells)
    if failed:
        return Quality(0.0, spread, tuple(failed), Status.UNGRADABLE)
    remarks = [reason for reason, factor in factors.items() if factor < _REMARK_BELOW]
    remarks += ([] if has_field else [NO_DISC]) + ([ALREADY_ENHANCED] if enhanced else [])
    return Quality(_product(factors), spread, tuple(remarks), Status.SCORED)


def _evidence(cells: Cells, measures: Measures, *, has_field: bool, enhanced: bool) -> tuple[tuple[str, ...], bool]:
    """The evidence that the picture is no fundus, and whether it is certain."""
    surely_red = is_retina_red(cells.colours, has_field=False)
    if has_field and surely_red:
        return (() if enhanced else scene_doubts(cells, measures)), False
    evidence = other_picture_reasons(cells, measures, has_field=has_field)
    if enhanced:  # which gives a photograph outlines and harsh contrast too
        evidence = tuple(reason for reason in evidence if reason not in (OUTLINES, HARSH))
    if has_field:  # white may be the page on which a field lies that is lit in part
        return evidence, OUTLINES in evidence
    # Against a retina's colours, only what no tissue can be counts: what would count within a field.
    certain = FLAT in evidence or not surely_red or bool(other_picture_reasons(cells, measures, has_field=True))
    return evidence, bool(evidence) and certain


def _colour_doubts(cells: Cells, measures: Measures, *, has_field: bool) -> list[str]:
    """Reasons, for a person to decide, why the colours are not those of a colour photograph of a retina."""
    colour = colour_fault(cells.colours)
    if not colour and is_monochrome(cells.colours):
        colour = MONOCHROME
    red_known = measures.overexposed < _RED_CLIPPED and measures.dark > LIMITS[DARK].worst
    if not colour and red_known and not is_retina_red(cells.colours, has_field=has_field):
        colour = NOT_RED
    return [reason for reason in ("" if has_field else NO_DISC, colour) if reason] if colour else []


def _tissue_doubts(cells: Cells, evidence: tuple[str, ...], artefact_factor: float) -> list[str]:
    """Reasons, for a person to decide, why the detail and the colours are not those of tissue."""
    doubts = [UNLIKE_TISSUE] if is_unlike(cells.tissue) else []
    # Stray light in a retina has outlines and hues of its own too: then it is named as well.
    if (doubts or OUTLINES in evidence) and 0 < artefact_factor < _REMARK_BELOW:
        doubts.append(ARTEFACT)
    return doubts


def _factors(measures: Measures) -> dict[str, float]:
    return {reason: limit.factor(getattr(measures, reason)) for reason, limit in LIMITS.items()}


def _product(factors: dict[str, float]) -> float:
    return float(np.prod(list(factors.values())))


def _spread(cells: Cells) -> float:
    """The score's jackknife standard error over the quadrants (Efron, The Jackknife, 1982, chapter 3)."""
    without = [cells.measures(quadrant) for quadrant in range(4)]
    scores = np.array([_product(_factors(measures)) if measures else 0.0 for measures in without])
    return float(np.sqrt(3 / 4 * np.sum((scores - scores.mean()) ** 2)))
