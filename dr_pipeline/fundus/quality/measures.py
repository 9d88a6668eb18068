"""What quality is judged by: a canvas measured cell by cell.

A measure is a mean or a quantile over the cells: a lesion, the optic disc or a single bright vessel fills few of them
and moves a quantile little. Leaving out one quarter's cells gives the measure again without that quarter, which is
what the score's spread is made of.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import model_input
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.quality.artefacts import excess
from dr_pipeline.fundus.quality.colours import Colours, measure_colours
from dr_pipeline.fundus.quality.grid import SIDE_PX, cell_means, core, where_seen

# A pixel is seen where its brightest channel is above this level; below it the frame was cut or nothing was lit.
_SEEN_LEVEL = 12
_MIN_CELL_SHARE = 0.5  # of a cell that must be seen for the cell to count
_MIN_CELLS = 8
# Sides of box means in px of the judged canvas. A pixel less the first is fine detail, the second less the third is
# detail of vessels' width. Blur takes the first long before the second.
_FINE_PX, _VESSEL_PX, _COARSE_PX = 3, 7, 21
_DETAIL_QUANTILE = 0.75  # vessels run through every quarter of a retina, though not through every cell
# Noise is what fills every cell alike: this quantile of fine detail's power is taken off, by a factor that
# covers a cell's own scatter (64 px: the upper quartile of pure noise is 1.3 times the lower).
_NOISE_QUANTILE, _NOISE_FACTOR = 0.25, 1.3
# Rounding to whole levels is noise that plateaus do not show: variance 1/12, of which a 3 × 3 mean takes a ninth.
_ROUNDING_NOISE = 1 / 12 * 8 / 9
_CLIPPED = 245  # a channel from this level on holds no detail
# Added to brightness where something is measured relative to it, so that unlit noise does not count as contrast.
_DARK_OFFSET = 8.0
_NONE = -1


@dataclass(frozen=True)
class Measures:
    """What the limits of `dr_pipeline.fundus.quality.assess` apply to.

    Attributes:
        dark: Median over cells of the brighter of red and green, 0 to 255.
        overexposed: Share of clipped pixels, green counted twice as much as red: it carries the lesions.
        blurred: Fine detail, less noise, over detail of vessels' width.
        low_contrast: Detail of vessels' width relative to brightness.
        field: Share of the disc that is seen.
        off_centre: How far what is not seen pulls to one side: its share of the disc times its centroid's distance
            from the disc's centre in radii. A disc cut alike above and below has 0.
        artefact: Mean over cells of light that is lost or added where a retina's shading is smooth.
    """

    dark: float
    overexposed: float
    blurred: float
    low_contrast: float
    field: float
    off_centre: float
    artefact: float


@dataclass(frozen=True, eq=False)
class Cells:
    """The judged canvas cut into cells; each array has one value per counted cell.

    Attributes:
        quadrant: 0 … 3.
        brighter: Mean of the brighter of red and green.
        clipped: Weighted share of clipped pixels.
        brightness: Mean green level, from where relative detail is counted.
        fine: Mean square of fine detail, in levels.
        vessel: Mean square of detail of vessels' width, in levels.
        artefact: See `Measures`.
        seen: (4,) area seen in each quadrant, in cells, also of cells that do not count.
        off_centre: See `Measures`; of the whole disc, whichever quadrant is left out.
        colours: Of the whole disc.
    """

    quadrant: NDArray[np.int64]
    brighter: NDArray[np.float32]
    clipped: NDArray[np.float32]
    brightness: NDArray[np.float32]
    fine: NDArray[np.float32]
    vessel: NDArray[np.float32]
    artefact: NDArray[np.float32]
    seen: NDArray[np.float64]
    off_centre: float
    colours: Colours

    def measures(self, without: int = _NONE) -> Measures | None:
        """The measures over all quadrants but one; None where too few cells are left.

        Args:
            without: The quadrant to leave out; none by default.
        """
        kept = self.quadrant != without
        if np.count_nonzero(kept) < _MIN_CELLS:
            return None
        power_of = self.brightness[kept] ** 2
        noise = _NOISE_FACTOR * max(_ROUNDING_NOISE, _quantile(self.fine[kept], _NOISE_QUANTILE))
        fine, vessel = (
            max(0.0, _quantile(power / power_of, _DETAIL_QUANTILE)) ** 0.5
            for power in (self.fine[kept] - np.float32(noise), self.vessel[kept])
        )
        quadrants = np.arange(4) != without
        return Measures(
            dark=_quantile(self.brighter[kept], 0.5),
            overexposed=float(self.clipped[kept].mean()),
            blurred=fine / max(vessel, 1e-6),
            low_contrast=vessel,
            field=float(self.seen[quadrants].sum() / core().seen[quadrants].sum()),
            off_centre=self.off_centre,
            artefact=float(self.artefact[kept].mean()),
        )


def cut_into_cells(canvas: NDArray[np.uint8]) -> Cells | None:
    """Measures a canvas's cells; None where next to nothing is lit.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB.
    """
    small = model_input(canvas, SIDE_PX)
    red, green, blue = cv2.split(small)
    brighter, darker = cv2.max(red, green), cv2.min(red, green)
    brightest, darkest = cv2.max(brighter, blue), cv2.min(darker, blue)
    lit = cv2.compare(brightest, _SEEN_LEVEL, cv2.CMP_GT)
    seen = cv2.bitwise_and(lit, core().mask)
    share = cell_means(seen) / np.float32(255)
    counted = share >= _MIN_CELL_SHARE
    if np.count_nonzero(counted) < _MIN_CELLS:
        return None
    per_seen = 1 / np.maximum(share, np.float32(_MIN_CELL_SHARE))

    def mean(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
        means: NDArray[np.float32] = cell_means(cv2.bitwise_and(plane, seen)) * per_seen
        return means

    clipped = (mean(_from(red, _CLIPPED)) + 2 * mean(_from(green, _CLIPPED))) / np.float32(3 * 255)
    fine, vessel, brightness = _detail(green, lit, seen)
    odd = excess(mean(red), mean(blue), counted)
    seen_per_quadrant, pull = where_seen(share)
    return Cells(
        quadrant=core().quadrant[counted],
        brighter=mean(brighter)[counted],
        clipped=clipped[counted],
        brightness=brightness[counted] + np.float32(_DARK_OFFSET),
        fine=(fine * per_seen)[counted],
        vessel=(vessel * per_seen)[counted],
        artefact=odd[counted],
        seen=seen_per_quadrant,
        off_centre=pull,
        colours=measure_colours(small, seen, cv2.subtract(brightest, darkest)),
    )


def _detail(
    green: NDArray[np.uint8], lit: NDArray[np.uint8], seen: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Cell means of green's squared detail, fine and of vessels' width, and of its brightness around.

    Local means are taken over lit pixels only (normalised convolution: Knutsson and Westin, CVPR 1993), so that
    the disc's own rim is no detail.
    """
    ones, lit_green = cv2.min(lit, 1), cv2.bitwise_and(green, lit)
    near, vessels, coarse = (
        cv2.divide(_box_sum(lit_green, px), _box_sum(ones, px)) for px in (_FINE_PX, _VESSEL_PX, _COARSE_PX)
    )
    sharp = lit_green.astype(np.float32)
    fine, vessel = (
        cell_means(cv2.bitwise_and(squared, squared, mask=seen))
        for squared in (cv2.multiply(d, d) for d in (sharp - near, vessels - coarse))
    )
    return fine, vessel, cell_means(coarse)


def _box_sum(plane: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    total: NDArray[np.float32] = cv2.boxFilter(plane, cv2.CV_32F, (side_px, side_px), normalize=False)
    return total


def _from(plane: NDArray[np.uint8], level: int) -> NDArray[np.uint8]:
    reached: NDArray[np.uint8] = cv2.compare(plane, level, cv2.CMP_GE)
    return reached


def _quantile(values: NDArray[np.float32], quantile: float) -> float:
    place = int(quantile * (len(values) - 1))
    return float(np.partition(values, place)[place])
