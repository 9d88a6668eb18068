"""Assesses image quality: whether a canvas shows a fundus and can be graded, its score, standard error and reasons.

The limits are conservative, because a strict quality gate rejects the sickest eyes first (in EyeQ 54.5 % of grade 4 are
"Reject", 16.7–19.3 % of grade 0). They were set on the 413 IDRiD photographs, whose worst value of each measure is
given beside its limit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.quality.colour_checks import COLOUR_ORDER, NO_COLOUR, NO_DISC, colour_fault, not_fundus_reasons
from dr_pipeline.fundus.quality.measures import Cells, Measures, measure_cells
from dr_pipeline.schema import Status

__all__ = [
    "ARTEFACT",
    "BLURRED",
    "COLOUR_ORDER",
    "DARK",
    "FIELD",
    "LIMITS",
    "LOW_CONTRAST",
    "NO_COLOUR",
    "NO_DISC",
    "OFF_CENTRE",
    "OVEREXPOSED",
    "SMALL",
    "Limit",
    "Quality",
    "assess",
]

DARK, OVEREXPOSED, BLURRED, LOW_CONTRAST = "dark", "overexposed", "blurred", "low_contrast"
FIELD, OFF_CENTRE, ARTEFACT, SMALL = "field", "off_centre", "artefact", "small"


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
# A scored photograph lists the measures whose factor is below this, so that one rejected by a site's threshold has a
# reason: the product of seven factors above it exceeds 0.02.
_REMARK_BELOW = 0.6
# A 45° field is about 13 mm across: below this radius the largest microaneurysm (125 µm, ETDRS report 10) is one pixel.
_MIN_RADIUS_PX = 64.0


@dataclass(frozen=True)
class Quality:
    """Image quality of one photograph.

    Attributes:
        score: 0 (ungradable) to 1.
        spread: The score's jackknife standard error over the disc's four quadrants. 0 if the photograph is rejected
            for a reason that is not one of the limits.
        reasons: Codes. Ungradable: dark, overexposed, blurred, low_contrast, field (too little of the disc is visible),
            off_centre (the disc is cut off on one side), artefact (stray or lost light), no_colour, colour_order (red
            and blue exchanged), small (the disc in pixels). Not a fundus: flat, not_red, no_disc with a colour's code.
            Scored: the measures that lower the score most, and no_disc.
        status: SCORED (gradable), UNGRADABLE or NOT_FUNDUS.
    """

    score: float
    spread: float
    reasons: tuple[str, ...]
    status: Status


def assess(canvas: NDArray[np.uint8], disc: Disc) -> Quality:
    """Assesses a canvas.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB, not enhanced.
        disc: In px of the upright original.
    """
    cells = measure_cells(canvas)
    measures = cells.measures() if cells else None
    if cells is None or measures is None:
        return Quality(0.0, 0.0, (DARK,), Status.UNGRADABLE)
    factors = _factors(measures)
    failed = [reason for reason, factor in factors.items() if factor == 0.0]
    colour = colour_fault(cells.colours)
    # Colours and variation mean nothing in a dark picture, nor in an overexposed disc; a white page has no disc.
    if not ({DARK, OVEREXPOSED} if disc.fit == CIRCLE else {DARK}) & set(failed):
        not_fundus = not_fundus_reasons(cells.colours, disc, colour)
        if not_fundus:
            return Quality(0.0, 0.0, not_fundus, Status.NOT_FUNDUS)
    other = ([colour] if colour else []) + ([SMALL] if disc.radius < _MIN_RADIUS_PX else [])
    if other:
        return Quality(0.0, 0.0, (*failed, *other), Status.UNGRADABLE)
    spread = _spread(cells)
    if failed:
        return Quality(0.0, spread, tuple(failed), Status.UNGRADABLE)
    remarks = [reason for reason, factor in factors.items() if factor < _REMARK_BELOW]
    if disc.fit != CIRCLE:
        remarks.append(NO_DISC)
    return Quality(_product(factors), spread, tuple(remarks), Status.SCORED)


def _factors(measures: Measures) -> dict[str, float]:
    return {reason: limit.factor(getattr(measures, reason)) for reason, limit in LIMITS.items()}


def _product(factors: dict[str, float]) -> float:
    return float(np.prod(list(factors.values())))


def _spread(cells: Cells) -> float:
    """The score's jackknife standard error over the quadrants (Efron, The Jackknife, 1982, chapter 3)."""
    without = [cells.measures(quadrant) for quadrant in range(4)]
    scores = np.array([_product(_factors(measures)) if measures else 0.0 for measures in without])
    return float(np.sqrt(3 / 4 * np.sum((scores - scores.mean()) ** 2)))
