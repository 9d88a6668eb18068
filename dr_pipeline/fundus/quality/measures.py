"""The image-quality measures of a canvas, computed on a grid of cells.

Every canvas is resized to one side and cut into cells, so that neither the file's resolution nor the canvas's side
changes a measure. A measure is a mean or a quantile over the cells: a lesion, the optic disc or a single bright vessel
fills few of them and hardly moves a quantile. Without one quadrant's cells the same measure results for the remaining
three quadrants, from which the score's standard error is computed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_mask, disc_radius_px, model_input
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.quality.artefacts import artefact_light
from dr_pipeline.fundus.quality.colour_checks import Colours, measure_colours
from dr_pipeline.fundus.quality.tissue import Tissue, detail_of_red, measure_tissue

_SIDE_PX = 256
_CELLS = 32  # per side; a cell of 8 px is a 32nd of the disc's width, under half an optic disc's
# Only the disc within this fraction of its radius is assessed: the rim is dim, and half of its pixels are background.
_CORE = 0.95
# A pixel is visible if its brightest channel is above this level; below it the frame was cut or nothing was lit.
_VISIBLE_LEVEL = 12
_MIN_CELL_FRACTION = 0.5  # of a cell that must be visible for the cell to count
_MIN_CELLS = 8
# Sides of box means in px of the resized canvas. A pixel minus the first mean is fine detail; the second mean minus the
# third is detail of vessel width. Blur removes the first long before the second.
_FINE_PX, _VESSEL_PX, _COARSE_PX = 3, 7, 21
_DETAIL_QUANTILE = 0.75  # vessels run through every quadrant of a retina, though not through every cell
# Noise fills every cell alike. This quantile of fine detail's power is subtracted, times a factor that covers a cell's
# own scatter (64 px: the upper quartile of pure noise is 1.3 times the lower).
_NOISE_QUANTILE, _NOISE_FACTOR = 0.25, 1.3
# Rounding to integer levels is noise that plateaus do not show: variance 1/12, of which a 3 × 3 mean removes a ninth.
_ROUNDING_NOISE = 1 / 12 * 8 / 9
_CLIPPED = 245  # a channel from this level on holds no detail
# A clipped red beside a sound green costs little: green holds the lesions, and sensors tuned for other tissue clip red.
_CLIPPED_WEIGHTS = (np.float32(1 / 6 / 255), np.float32(5 / 6 / 255))  # of red and green, of byte masks
# Every pixel of such a cell is visible, so that neighbouring cells differ by their content only.
_FULL_CELL_FRACTION = 0.98
# Added to brightness where something is measured relative to it, so that unlit noise does not count as contrast.
_DARK_OFFSET = 8.0


@dataclass(frozen=True)
class Measures:
    """The measures to which the limits of `dr_pipeline.fundus.quality.assess` apply.

    Attributes:
        dark: Median over cells of the brighter of red and green, 0 to 255.
        overexposed: Fraction of clipped pixels, green with five times the weight of red because it carries the lesions.
        blurred: Fine detail, less noise, over detail of vessel width.
        low_contrast: Detail of vessel width relative to brightness.
        field: Visible fraction of the disc.
        off_centre: Asymmetry of the invisible part: its fraction of the disc times its centroid's distance from the
            disc's centre in radii. A disc cut equally above and below has 0.
        artefact: Mean over cells of lost or added light that smooth retinal shading does not explain.
    """

    dark: float
    overexposed: float
    blurred: float
    low_contrast: float
    field: float
    off_centre: float
    artefact: float


@dataclass(frozen=True)
class Appearance:
    """What a camera, its settings and its light give a photograph; for the comparison of batches, not of quality.

    The fields are columns of tables.

    Attributes:
        brightness: `Measures.dark`, 0 to 255.
        contrast: `Measures.low_contrast`.
        sharpness: `Measures.blurred`.
        red_over_green: Ratio of the mean levels of the visible disc.
        blue_over_green: As `red_over_green`.
    """

    brightness: float
    contrast: float
    sharpness: float
    red_over_green: float
    blue_over_green: float


@dataclass(frozen=True, eq=False)
class Cells:
    """A canvas's measurements by cell; one value per counted cell, where no shape is given.

    Attributes:
        counted: (n, n) which cells of the grid count; the arrays with one value per cell are in its order.
        full: (n, n) which cells lie wholly on visible pixels.
        rgb: (n, n, 3) mean levels of the grid's cells; 0 where nothing is visible.
        quadrant: 0 … 3.
        brighter: Mean of the brighter of red and green.
        clipped: Weighted fraction of clipped pixels.
        brightness: Mean green level plus the offset for relative detail.
        fine: Mean square of fine detail, in levels.
        vessel: Mean square of detail of vessel width, in levels.
        artefact: See `Measures`.
        visible: (4,) visible area of each quadrant in cells, including cells that do not count.
        off_centre: See `Measures`; of the whole disc.
        colours: Of the whole disc.
        tissue: Of the whole disc.
    """

    counted: NDArray[np.bool_]
    full: NDArray[np.bool_]
    rgb: NDArray[np.float32]
    quadrant: NDArray[np.int64]
    brighter: NDArray[np.float32]
    clipped: NDArray[np.float32]
    brightness: NDArray[np.float32]
    fine: NDArray[np.float32]
    vessel: NDArray[np.float32]
    artefact: NDArray[np.float32]
    visible: NDArray[np.float64]
    off_centre: float
    colours: Colours
    tissue: Tissue

    def measures(self, without: int | None = None) -> Measures | None:
        """The measures over all quadrants, or all but `without`; None if too few cells remain."""
        used = self.quadrant != (-1 if without is None else without)
        if np.count_nonzero(used) < _MIN_CELLS:
            return None
        squared_brightness = self.brightness[used] ** 2
        noise = _NOISE_FACTOR * max(_ROUNDING_NOISE, _quantile(self.fine[used], _NOISE_QUANTILE))
        fine, vessel = (
            max(0.0, _quantile(power / squared_brightness, _DETAIL_QUANTILE)) ** 0.5
            for power in (self.fine[used] - np.float32(noise), self.vessel[used])
        )
        quadrants = np.arange(4) != (-1 if without is None else without)
        return Measures(
            dark=_quantile(self.brighter[used], 0.5),
            overexposed=float(self.clipped[used].mean()),
            blurred=fine / max(vessel, 1e-6),
            low_contrast=vessel,
            field=float(self.visible[quadrants].sum() / _grid().area[quadrants].sum()),
            off_centre=self.off_centre,
            artefact=float(self.artefact[used].mean()),
        )


def appearance(cells: Cells, measures: Measures) -> Appearance:
    """The appearance of a canvas, from what was measured for its quality."""
    green = max(cells.colours.green, 1.0)  # level; a disc without green is no photograph
    return Appearance(
        brightness=measures.dark,
        contrast=measures.low_contrast,
        sharpness=measures.blurred,
        red_over_green=cells.colours.red / green,
        blue_over_green=cells.colours.blue / green,
    )


def measure_cells(canvas: NDArray[np.uint8]) -> Cells | None:
    """Measures a canvas's cells; None if next to nothing is visible.

    Args:
        canvas: (canvas_px, canvas_px, 3) RGB.
    """
    small = model_input(canvas, _SIDE_PX)
    red, green, blue = cv2.split(small)
    brighter = cv2.max(red, green)
    lit = cv2.compare(cv2.max(brighter, blue), _VISIBLE_LEVEL, cv2.CMP_GT)
    visible = cv2.bitwise_and(lit, disc_mask(_SIDE_PX, _CORE))
    fraction = _cell_means(visible) / np.float32(255)
    counted = fraction >= _MIN_CELL_FRACTION
    if np.count_nonzero(counted) < _MIN_CELLS:
        return None
    per_visible = 1 / np.maximum(fraction, np.float32(_MIN_CELL_FRACTION))

    def mean(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
        means: NDArray[np.float32] = _cell_means(cv2.bitwise_and(plane, visible)) * per_visible
        return means

    red_weight, green_weight = _CLIPPED_WEIGHTS
    clipped = red_weight * mean(_at_least(red, _CLIPPED)) + green_weight * mean(_at_least(green, _CLIPPED))
    fine, vessel, brightness = _detail(green, lit, visible)
    rgb = np.stack((mean(red), mean(green), mean(blue)), axis=-1)
    artefact = artefact_light(rgb[..., 0], rgb[..., 2], counted)
    full = fraction >= _FULL_CELL_FRACTION
    return Cells(
        counted=counted,
        full=full,
        rgb=rgb,
        quadrant=_grid().quadrant[counted],
        brighter=mean(brighter)[counted],
        clipped=clipped[counted],
        brightness=brightness[counted] + np.float32(_DARK_OFFSET),
        fine=(fine * per_visible)[counted],
        vessel=(vessel * per_visible)[counted],
        artefact=artefact[counted],
        visible=_by_quadrant(fraction, _grid().quadrant),
        off_centre=_asymmetry(fraction),
        colours=measure_colours(small, visible),
        tissue=measure_tissue(rgb, counted, full, detail_of_red(red, _CELLS)),
    )


@dataclass(frozen=True, eq=False)
class _Grid:
    """The grid over the assessed part of the disc.

    Attributes:
        fraction: (_CELLS, _CELLS) of each cell that lies on the assessed disc.
        quadrant: (_CELLS, _CELLS) 0 … 3.
        x: (1, _CELLS) the cells' centres in radii of the disc.
        area: (4,) assessed area of each quadrant in cells.
    """

    fraction: NDArray[np.float32]
    quadrant: NDArray[np.int64]
    x: NDArray[np.float64]
    area: NDArray[np.float64]


@lru_cache(maxsize=1)
def _grid() -> _Grid:
    fraction = _cell_means(disc_mask(_SIDE_PX, _CORE)) / np.float32(255)
    second = np.arange(_CELLS) >= _CELLS // 2
    quadrant = second[None, :] + 2 * second[:, None]
    x = ((np.arange(_CELLS) + 0.5) / _CELLS * _SIDE_PX - _SIDE_PX / 2) / disc_radius_px(_SIDE_PX)
    return _Grid(fraction, quadrant, x[None, :], _by_quadrant(fraction, quadrant))


def _cell_means(plane: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """(_CELLS, _CELLS) means: INTER_AREA by an integer factor is exact. Bytes are averaged as floats."""
    if plane.dtype == np.uint8:
        plane = cv2.multiply(plane, 1.0, dtype=cv2.CV_32F)
    means: NDArray[np.float32] = cv2.resize(plane, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return means


def _by_quadrant(fraction: NDArray[np.float32], quadrant: NDArray[np.int64]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.bincount(quadrant.ravel(), fraction.ravel(), 4).astype(np.float64)
    return sums


def _asymmetry(fraction: NDArray[np.float32]) -> float:
    """See `Measures.off_centre`."""
    grid = _grid()
    invisible = (grid.fraction - fraction) / grid.fraction.sum()
    return float(np.hypot((invisible * grid.x).sum(), (invisible * grid.x.T).sum()))


def _detail(
    green: NDArray[np.uint8], lit: NDArray[np.uint8], visible: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Cell means of green's squared detail, fine and of vessel width, and of its local brightness.

    Local means are taken over lit pixels only (normalised convolution: Knutsson and Westin, CVPR 1993), so that the
    disc's rim does not count as detail.
    """
    ones, lit_green = cv2.min(lit, 1), cv2.bitwise_and(green, lit)
    near, vessels, coarse = (
        cv2.divide(_box_sum(lit_green, px), _box_sum(ones, px)) for px in (_FINE_PX, _VESSEL_PX, _COARSE_PX)
    )
    sharp = lit_green.astype(np.float32)
    fine, vessel = (
        _cell_means(cv2.bitwise_and(squared, squared, mask=visible))
        for squared in (cv2.multiply(d, d) for d in (sharp - near, vessels - coarse))
    )
    return fine, vessel, _cell_means(coarse)


def _box_sum(plane: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    total: NDArray[np.float32] = cv2.boxFilter(plane, cv2.CV_32F, (side_px, side_px), normalize=False)
    return total


def _at_least(plane: NDArray[np.uint8], level: int) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = cv2.compare(plane, level, cv2.CMP_GE)
    return mask


def _quantile(values: NDArray[np.float32], quantile: float) -> float:
    index = int(quantile * (len(values) - 1))
    return float(np.partition(values, index)[index])
