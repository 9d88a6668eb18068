"""Evidence that a picture shows no fundus: a plain colour, a page, a scene, a section, a gradient, noise.

A retina is one smoothly lit tissue with detail everywhere. Other pictures consist of things with outlines, strokes on
paper, layers over black, or shading without detail. A camera's colours are not used: white balance, tint and exposure
are gains, and a gain changes no ratio of neighbouring cells.

The limits were set on 500 photographs of eleven cameras (IDRiD and `shared/data/cameras`), and on squashed, tinted,
hazed, darkened, nearly grey, cropped and strongly compressed copies of them; in brackets is the most extreme of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.quality.measures import Cells, Measures

FLAT, PAGE, OUTLINES, HARSH = "flat", "page", "outlines", "harsh"
UNRELATED_COLOURS, NO_STRUCTURE = "unrelated_colours", "no_structure"

_MIN_STEP = 0.008  # [0.017]
_MAX_PALE = 0.4  # [0.13]
_MAX_CONCENTRATION, _MAX_CONCENTRATION_IN_FIELD = 100.0, 400.0  # [57, 48]
_MAX_DETAIL, _MAX_STEP = 0.18, 0.5  # [0.12, 0.42]
_MAX_COLOUR_PER_DETAIL = 100.0  # [93]
_MAX_GRAIN = 4.0  # [2.8]

_STEP_QUANTILE = 0.95
# Below these a median step is rounding and compression: of log brightness, and of the two log ratios together.
_LEAST_STEP, _LEAST_COLOUR_STEP = 0.003, 0.01
_MIN_STEPS = 16
# Added to levels before logarithms, so that unlit noise does not count.
_DARK_OFFSET = 8.0


@dataclass(frozen=True)
class Composition:
    """What a picture is made of, over its cells.

    Attributes:
        concentration: How far changes are concentrated in outlines: the largest 5 % of the steps between neighbouring
            cells over the median step, in brightness, times the same in colour.
        step: The 95 % quantile of the steps of log brightness.
        colour_per_detail: Deviation of the colour (as log ratios of red and blue to green) over the relative detail of
            vessel width, times the root of the concentration.
        grain: Detail of one pixel over detail of vessel width.
    """

    concentration: float
    step: float
    colour_per_detail: float
    grain: float


def compose(cells: Cells, measures: Measures) -> Composition:
    """Measures the composition of a picture."""
    log_level = np.log(cells.rgb + np.float32(_DARK_OFFSET))
    brightness = np.log(cells.rgb.sum(axis=2) + np.float32(3 * _DARK_OFFSET))
    colour = np.stack((log_level[..., 0] - log_level[..., 1], log_level[..., 2] - log_level[..., 1]))
    brightness_steps = _steps(brightness[None], cells.full)
    large, typical = _large_and_typical(brightness_steps)
    large_colour, typical_colour = _large_and_typical(_steps(colour, cells.full))
    concentration = large / max(typical, _LEAST_STEP) * large_colour / max(typical_colour, _LEAST_COLOUR_STEP)
    deviation = float(np.hypot(*colour[:, cells.counted].std(axis=1)))
    fine, vessel = float(np.median(cells.fine)), float(np.median(cells.vessel))
    return Composition(
        concentration=concentration,
        step=large,
        colour_per_detail=deviation * concentration**0.5 / max(measures.low_contrast, 1e-3),
        grain=(fine / max(vessel, 1e-6)) ** 0.5,
    )


def other_picture_reasons(cells: Cells, measures: Measures, *, has_field: bool) -> tuple[str, ...]:
    """The evidence that the picture shows no fundus; empty if there is none.

    Args:
        cells: As measured.
        measures: Of all `cells`.
        has_field: Whether the round field of a fundus camera was found. Then only what no tissue can be is evidence:
            paper and outlines. A hazed retina may be flat.
    """
    concentrated = _MAX_CONCENTRATION_IN_FIELD if has_field else _MAX_CONCENTRATION
    made = compose(cells, measures)
    evidence = {PAGE: cells.colours.pale > _MAX_PALE, OUTLINES: made.concentration > concentrated}
    if not has_field:
        if made.step < _MIN_STEP:
            return (FLAT,)
        evidence[HARSH] = measures.low_contrast > _MAX_DETAIL or made.step > _MAX_STEP
        evidence[UNRELATED_COLOURS] = made.colour_per_detail > _MAX_COLOUR_PER_DETAIL
        evidence[NO_STRUCTURE] = made.grain > _MAX_GRAIN
    return tuple(reason for reason, found in evidence.items() if found)


def scene_doubts(cells: Cells, measures: Measures) -> tuple[str, ...]:
    """What of a scene a field shows that is as red as a retina; reasons for a person to look at it."""
    made = compose(cells, measures)
    doubts = {OUTLINES: made.concentration > _MAX_CONCENTRATION, HARSH: made.step > _MAX_STEP}
    return tuple(reason for reason, found in doubts.items() if found)


def _steps(planes: NDArray[np.float32], full: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Sizes of the steps between neighbouring full cells, summed over planes (planes, n, n)."""
    across = np.abs(np.diff(planes, axis=2)).sum(axis=0)[full[:, 1:] & full[:, :-1]]
    down = np.abs(np.diff(planes, axis=1)).sum(axis=0)[full[1:] & full[:-1]]
    steps: NDArray[np.float32] = np.concatenate((across, down))
    return steps


def _large_and_typical(steps: NDArray[np.float32]) -> tuple[float, float]:
    """The steps' large quantile and median; 0 and 0 if there are too few."""
    if len(steps) < _MIN_STEPS:
        return 0.0, 0.0
    typical, large = len(steps) // 2, int(_STEP_QUANTILE * (len(steps) - 1))
    ordered = np.partition(steps, (typical, large))
    return float(ordered[large]), float(ordered[typical])
