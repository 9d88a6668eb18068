"""What tells a fundus from other pictures by its colours: a retina is red before green before blue, and not plain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2

NO_COLOUR, COLOUR_ORDER = "no_colour", "colour_order"
NO_DISC, NOT_RED, FLAT = "no_disc", "not_red", "flat"

# Mean red over mean green; in brackets: the least of 413 IDRiD photographs [1.54].
_MIN_RED_OVER_GREEN = 1.08
# Without a disc, colours must be a retina's almost everywhere [1.54, 0.92 of pixels].
_MIN_RED_OVER_GREEN_NO_DISC, _MIN_ORDERED_SHARE_NO_DISC = 1.3, 0.9
_MIN_CHROMA = 4.0  # mean difference of a pixel's brightest and darkest channel; a grey JPEG has at most 2
_MIN_VARIATION = 0.012  # deviation of green relative to its mean; a plain colour has none
# Added to the mean where variation is measured relative to it, so that unlit noise is none.
_DARK_OFFSET = 8.0


@dataclass(frozen=True)
class Colours:
    """What tells a fundus from other pictures: means of the seen pixels, 0 to 255.

    Attributes:
        red: Mean level.
        green: Mean level.
        blue: Mean level.
        ordered_share: Share of pixels whose red exceeds green and green is no less than blue.
        chroma: Mean difference of a pixel's brightest and darkest channel.
        variation: Standard deviation of green relative to its mean.
    """

    red: float
    green: float
    blue: float
    ordered_share: float
    chroma: float
    variation: float


def measure_colours(small: NDArray[np.uint8], seen: NDArray[np.uint8], chroma: NDArray[np.uint8]) -> Colours:
    """Measures the colours of the seen pixels.

    Args:
        small: (n, n, 3) RGB.
        seen: (n, n), 255 where a pixel is judged and seen, at least once.
        chroma: (n, n) difference of each pixel's brightest and darkest channel.
    """
    red, green, blue = cv2.split(small)
    ordered = cv2.bitwise_and(cv2.compare(red, green, cv2.CMP_GT), cv2.compare(green, blue, cv2.CMP_GE))
    means, deviations = cv2.meanStdDev(small, mask=seen)
    return Colours(
        red=float(means[0, 0]),
        green=float(means[1, 0]),
        blue=float(means[2, 0]),
        ordered_share=cv2.countNonZero(cv2.bitwise_and(ordered, seen)) / cv2.countNonZero(seen),
        chroma=float(cv2.mean(chroma, mask=seen)[0]),
        variation=float(deviations[1, 0] / (means[1, 0] + _DARK_OFFSET)),
    )


def colour_fault(colours: Colours) -> str:
    """NO_COLOUR, COLOUR_ORDER (red and blue exchanged) or nothing."""
    if colours.chroma < _MIN_CHROMA:
        return NO_COLOUR
    if colours.blue > colours.green * _MIN_RED_OVER_GREEN and colours.green >= colours.red:
        return COLOUR_ORDER
    return ""


def strangeness(colours: Colours, disc: Disc, colour: str) -> tuple[str, ...]:
    """Why this is no fundus at all, or nothing. With a disc, doubt is in the photograph's favour.

    Args:
        colours: As measured.
        disc: Its fit tells whether one was found.
        colour: `colour_fault`'s answer.
    """
    if colours.variation < _MIN_VARIATION:
        return (FLAT,)
    if disc.fit == CIRCLE:
        return () if colour or colours.red >= _MIN_RED_OVER_GREEN * colours.green else (NOT_RED,)
    retina_red = colours.red >= _MIN_RED_OVER_GREEN_NO_DISC * colours.green
    if retina_red and colours.ordered_share >= _MIN_ORDERED_SHARE_NO_DISC:
        return ()
    return (NO_DISC, colour or NOT_RED)
