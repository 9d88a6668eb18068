"""Distinguishes a fundus from other pictures by colour: red exceeds green exceeds blue, and the picture varies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2

NO_COLOUR, COLOUR_ORDER = "no_colour", "colour_order"
NO_DISC, NOT_RED, FLAT = "no_disc", "not_red", "flat"

# Mean red over mean green; in brackets: the minimum of 413 IDRiD photographs [1.54].
_MIN_RED_OVER_GREEN = 1.08
# Without a disc, almost all pixels must have a retina's colours [1.54, 0.92 of pixels].
_MIN_RED_OVER_GREEN_NO_DISC, _MIN_ORDERED_FRACTION_NO_DISC = 1.3, 0.9
_MIN_CHROMA = 4.0  # mean difference of a pixel's brightest and darkest channel; a grey JPEG has at most 2
_MIN_VARIATION = 0.012  # deviation of green relative to its mean; a plain colour has none
# Added to the mean where variation is measured relative to it, so that unlit noise does not count.
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
    """

    red: float
    green: float
    blue: float
    ordered_fraction: float
    chroma: float
    variation: float


def measure_colours(small: NDArray[np.uint8], visible: NDArray[np.uint8], chroma: NDArray[np.uint8]) -> Colours:
    """Measures the colours of the visible pixels.

    Args:
        small: (n, n, 3) RGB.
        visible: (n, n), 255 where a pixel is assessed and visible; at least one.
        chroma: (n, n) difference of each pixel's brightest and darkest channel.
    """
    red, green, blue = cv2.split(small)
    ordered = cv2.bitwise_and(cv2.compare(red, green, cv2.CMP_GT), cv2.compare(green, blue, cv2.CMP_GE))
    means, deviations = cv2.meanStdDev(small, mask=visible)
    return Colours(
        red=float(means[0, 0]),
        green=float(means[1, 0]),
        blue=float(means[2, 0]),
        ordered_fraction=cv2.countNonZero(cv2.bitwise_and(ordered, visible)) / cv2.countNonZero(visible),
        chroma=float(cv2.mean(chroma, mask=visible)[0]),
        variation=float(deviations[1, 0] / (means[1, 0] + _DARK_OFFSET)),
    )


def colour_fault(colours: Colours) -> str:
    """NO_COLOUR, COLOUR_ORDER (red and blue exchanged) or ""."""
    if colours.chroma < _MIN_CHROMA:
        return NO_COLOUR
    if colours.blue > colours.green * _MIN_RED_OVER_GREEN and colours.green >= colours.red:
        return COLOUR_ORDER
    return ""


def not_fundus_reasons(colours: Colours, disc: Disc, colour: str) -> tuple[str, ...]:
    """Reasons why the picture is not a fundus; empty if it may be one. With a fitted disc the limits are lenient.

    Args:
        colours: As measured.
        disc: Its fit states whether a disc was found.
        colour: The result of `colour_fault`.
    """
    if colours.variation < _MIN_VARIATION:
        return (FLAT,)
    if disc.fit == CIRCLE:
        return () if colour or colours.red >= _MIN_RED_OVER_GREEN * colours.green else (NOT_RED,)
    retina_red = colours.red >= _MIN_RED_OVER_GREEN_NO_DISC * colours.green
    if retina_red and colours.ordered_fraction >= _MIN_ORDERED_FRACTION_NO_DISC:
        return ()
    return (NO_DISC, colour or NOT_RED)
