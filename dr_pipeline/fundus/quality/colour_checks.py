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
# See `Colours.off_curve`. In brackets: the minimum of 500 photographs of eleven cameras and of their copies in another
# light, colour temperature or at JPEG quality 60 [0.0278].
_MIN_OFF_CURVE = 0.023
# Where green is clipped no hue is known; of more than this fraction of the pixels nothing is concluded.
_CLIPPED, _MAX_CLIPPED = 245, 0.5
_NOISE_PX = (3, 3)  # smoothed: the noise of single pixels would place them elsewhere on the curve
_CURVE_STEP, _BIN_LEVELS = 4, 2  # every fourth pixel each way; levels of the channels' sum in one bin of the curve
_OFF_CURVE_CELLS, _NEIGHBOURS, _OFF_CURVE_QUANTILE = 32, (5, 5), 0.75
_MIN_CONTRAST, _MIN_CELL_SHARE = 0.5, 0.5  # levels; of a cell's pixels that are visible
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
        pale: Fraction of pixels that are nearly white.
        off_curve: Departure of the colours from one curve, on which brightness decides hue, relative to the geometric
            mean of level and contrast: a dark photograph departs by fewer levels, and a hazy one too.
        clipped: Fraction of pixels whose green is clipped, which `off_curve` leaves out.
    """

    red: float
    green: float
    blue: float
    ordered_fraction: float
    chroma: float
    pale: float
    off_curve: float
    clipped: float


def measure_colours(small: NDArray[np.uint8], visible: NDArray[np.uint8]) -> Colours:
    """Measures the colours of the visible pixels.

    Args:
        small: (n, n, 3) RGB.
        visible: (n, n), 255 where a pixel is assessed and visible; at least one.
    """
    red, green, blue = cv2.split(small)
    smooth = cv2.blur(small, _NOISE_PX)
    known = cv2.bitwise_and(visible, cv2.compare(green, _CLIPPED, cv2.CMP_LT))
    darkest = cv2.min(cv2.min(red, green), blue)
    chroma = cv2.subtract(cv2.max(cv2.max(red, green), blue), darkest)
    pale = cv2.compare(darkest, _PALE_LEVEL, cv2.CMP_GE)
    num_visible = cv2.countNonZero(visible)
    ordered = cv2.bitwise_and(cv2.compare(red, green, cv2.CMP_GT), cv2.compare(green, blue, cv2.CMP_GE))
    means = cv2.mean(small, mask=visible)
    return Colours(
        red=float(means[0]),
        green=float(means[1]),
        blue=float(means[2]),
        ordered_fraction=cv2.countNonZero(cv2.bitwise_and(ordered, visible)) / num_visible,
        chroma=float(cv2.mean(chroma, mask=visible)[0]),
        pale=cv2.countNonZero(cv2.bitwise_and(pale, visible)) / num_visible,
        off_curve=_off_curve(smooth[::_CURVE_STEP, ::_CURVE_STEP], known[::_CURVE_STEP, ::_CURVE_STEP] > 0),
        clipped=1 - cv2.countNonZero(known) / num_visible,
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


def is_monochrome(colours: Colours) -> bool:
    """Whether the colours are those of a ramp: autofluorescence or angiography, shown in red, sepia or green.

    A grey picture that was coloured has all its colours on one curve: brightness decides hue. In a photograph vessels,
    macula, optic disc and stray light of one brightness differ in hue.
    """
    return colours.clipped <= _MAX_CLIPPED and colours.off_curve < _MIN_OFF_CURVE


def _off_curve(picture: NDArray[np.uint8], visible: NDArray[np.bool_]) -> float:
    """See `Colours.off_curve`.

    The curve is the mean colour of each brightness. Departures from it are averaged over wide neighbourhoods, since
    those of compression are noise and those of tissue are not.

    Args:
        picture: (n, n, 3) RGB.
        visible: (n, n).
    """
    seen = [channel[visible].astype(np.float32) for channel in cv2.split(picture)]
    total = seen[0] + seen[1] + seen[2]
    place = (total / _BIN_LEVELS).astype(np.intp)
    count = np.maximum(np.bincount(place), 1)
    share = _by_cell(visible.astype(np.float32))
    counted = share >= _MIN_CELL_SHARE
    if not counted.any():
        return 0.0
    weight = _over_neighbours(share)[counted]

    def by_cell(values: NDArray[np.float32]) -> NDArray[np.float32]:
        plane = np.zeros(visible.shape, np.float32)
        plane[visible] = values
        return _by_cell(plane)

    largest = np.zeros(len(weight), np.float32)
    for levels in seen:
        curve = (np.bincount(place, levels) / count).astype(np.float32)
        departure = _over_neighbours(by_cell(levels - curve[place]))[counted] / weight
        largest = np.maximum(largest, np.abs(departure))
    largest.sort()
    brightness = by_cell(total)[counted] / share[counted] / 3
    scale = (float(brightness.mean()) + _DARK_OFFSET) * (float(brightness.std()) + _MIN_CONTRAST)
    return float(largest[int(_OFF_CURVE_QUANTILE * (len(largest) - 1))] / scale**0.5)


def _over_neighbours(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    means: NDArray[np.float32] = cv2.blur(cells, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    return means


def _by_cell(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    side = (_OFF_CURVE_CELLS, _OFF_CURVE_CELLS)
    means: NDArray[np.float32] = cv2.resize(plane, side, interpolation=cv2.INTER_AREA)
    return means
