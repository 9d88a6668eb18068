"""Detects wrong colours: none, those of a ramp, red and blue exchanged, or not the red of a retina."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.opencv import cv2

NO_COLOUR, COLOUR_ORDER, MONOCHROME, NOT_RED = "no_colour", "colour_order", "monochrome", "not_red"

# Mean red over mean green; in brackets: the minimum of 413 IDRiD photographs [1.54].
_MIN_RED_OVER_GREEN = 1.08
# Without a disc, almost all pixels must have a retina's colours [1.54, 0.92 of pixels].
_MIN_RED_OVER_GREEN_NO_DISC, _MIN_ORDERED_FRACTION_NO_DISC = 1.3, 0.9
_MIN_CHROMA = 4.0  # mean difference of a pixel's brightest and darkest channel; a grey JPEG has at most 2
# Departure of the cells' colours from one curve, a quantile over the cells, relative to the geometric mean of level and
# contrast (a dark photograph departs less in levels, a hazy one too). In brackets: the minimum of 500 photographs of
# eleven cameras [0.030]; of grey ones coloured by seven ramps and stored at JPEG quality 90, 97 % are below 0.02.
_MIN_OFF_CURVE, _OFF_CURVE_QUANTILE = 0.019, 0.75
_CURVE_CELLS = 9  # the curve is a running mean over so many cells, in the order of brightness
_NEIGHBOURS = (5, 5)
_MIN_CONTRAST = 0.5  # levels
_PALE_LEVEL = 200  # of the darkest channel: paper; tissue absorbs blue
# Added to levels where something is measured relative to them, so that unlit noise does not count.
_DARK_OFFSET = 8.0


@dataclass(frozen=True)
class Colours:
    """Colour statistics of the visible pixels; means are 0 to 255.

    Attributes:
        red: Mean level.
        green: Mean level.
        blue: Mean level.
        ordered_fraction: Fraction of pixels whose red exceeds green and whose green is at least blue.
        chroma: Mean difference of a pixel's brightest and darkest channel.
        variation: Standard deviation of green relative to its mean.
        pale: Fraction of pixels that are nearly white.
    """

    red: float
    green: float
    blue: float
    ordered_fraction: float
    chroma: float
    variation: float
    pale: float


def measure_colours(small: NDArray[np.uint8], visible: NDArray[np.uint8]) -> Colours:
    """Measures the colours of the visible pixels.

    Args:
        small: (n, n, 3) RGB.
        visible: (n, n), 255 where a pixel is assessed and visible; at least one.
    """
    red, green, blue = cv2.split(small)
    darkest = cv2.min(cv2.min(red, green), blue)
    chroma = cv2.subtract(cv2.max(cv2.max(red, green), blue), darkest)
    pale = cv2.compare(darkest, _PALE_LEVEL, cv2.CMP_GE)
    num_visible = cv2.countNonZero(visible)
    ordered = cv2.bitwise_and(cv2.compare(red, green, cv2.CMP_GT), cv2.compare(green, blue, cv2.CMP_GE))
    means, deviations = cv2.meanStdDev(small, mask=visible)
    return Colours(
        red=float(means[0, 0]),
        green=float(means[1, 0]),
        blue=float(means[2, 0]),
        ordered_fraction=cv2.countNonZero(cv2.bitwise_and(ordered, visible)) / num_visible,
        chroma=float(cv2.mean(chroma, mask=visible)[0]),
        variation=float(deviations[1, 0] / (means[1, 0] + _DARK_OFFSET)),
        pale=cv2.countNonZero(cv2.bitwise_and(pale, visible)) / num_visible,
    )


def colour_fault(colours: Colours) -> str:
    """NO_COLOUR, COLOUR_ORDER (red and blue exchanged) or ""."""
    if colours.chroma < _MIN_CHROMA:
        return NO_COLOUR
    if colours.blue > colours.green * _MIN_RED_OVER_GREEN and colours.green >= colours.red:
        return COLOUR_ORDER
    return ""


def is_retina_red(colours: Colours, *, has_field: bool) -> bool:
    """Whether the colours are a retina's under any camera's white balance; stricter where no field was found."""
    if has_field:
        return colours.red >= _MIN_RED_OVER_GREEN * colours.green
    retina_red = colours.red >= _MIN_RED_OVER_GREEN_NO_DISC * colours.green
    return retina_red and colours.ordered_fraction >= _MIN_ORDERED_FRACTION_NO_DISC


def is_monochrome(rgb: NDArray[np.float32], counted: NDArray[np.bool_]) -> bool:
    """Whether the colours are those of a ramp: autofluorescence or angiography, shown in red, sepia or green.

    A grey picture that was coloured has all its colours on one curve: brightness decides hue. In a photograph vessels,
    macula, optic disc and stray light of one brightness differ in hue. The curve is a running mean of the cells in the
    order of their brightness. The departures from it are averaged over neighbours, since those of compression are
    noise and those of tissue are not.

    Args:
        rgb: (n, n, 3) mean levels of the cells.
        counted: (n, n) cells to use; at least `_CURVE_CELLS`.
    """
    levels = rgb[counted]
    order = np.argsort(levels.sum(axis=1), kind="stable")
    departures = np.empty_like(levels)
    departures[order] = levels[order] - cv2.blur(levels[order], (1, _CURVE_CELLS), borderType=cv2.BORDER_REPLICATE)
    grid = np.zeros_like(rgb)
    grid[counted] = departures - departures.mean(axis=1, keepdims=True)
    share = cv2.blur(counted.astype(np.float32), _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)[counted]
    smooth = cv2.blur(grid, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)[counted] / share[:, None]
    off_curve = float(np.quantile(np.abs(smooth).max(axis=1), _OFF_CURVE_QUANTILE))
    brightness = levels.mean(axis=1)
    scale = float(((brightness.mean() + _DARK_OFFSET) * (brightness.std() + _MIN_CONTRAST)) ** 0.5)
    return off_curve < _MIN_OFF_CURVE * scale
