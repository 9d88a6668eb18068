"""What becomes of a photograph of a retina on its way: squashed, tinted, darkened, coloured by a ramp, enhanced.

Everything takes and gives decoded RGB pixels (height, width, 3), and is used by `benchmarks.gate` and by tests.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2

Pixels = NDArray[np.uint8]
View = Callable[[Pixels], Pixels]

_SMALL_PX = 224  # the side of popular re-uploads of public sets
_LIT_LEVEL = 12
_BLACK, _GREY = 0, 128
# Ben Graham's script: the gain on the difference to the local mean, and the part of the disc that is kept.
_GAIN, _KEPT = 4, 0.9


def squashed(pixels: Pixels, side: int = 0) -> Pixels:
    """A frame of 4:3 resized to a square; a narrower frame is padded with black to 4:3 first.

    Args:
        pixels: The photograph.
        side: px; 0: the shorter side of the frame.
    """
    height, width = pixels.shape[:2]
    missing = max(0, round(height * 4 / 3) - width)
    frame = cv2.copyMakeBorder(pixels, 0, 0, missing // 2, missing - missing // 2, cv2.BORDER_CONSTANT)
    side = side or min(frame.shape[:2])
    return np.asarray(cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def gains(pixels: Pixels, red: float, green: float, blue: float) -> Pixels:
    """Each channel times a gain."""
    return _bytes(pixels * np.array([red, green, blue], np.float32))


def desaturated(pixels: Pixels, kept: float) -> Pixels:
    """The colours' difference from grey times `kept`."""
    grey = _grey(pixels)[..., None].astype(np.float32)
    return _bytes(grey + kept * (pixels - grey))


def hazed(pixels: Pixels, share: float) -> Pixels:
    """`share` of whitish light over the lit part: an opacity of the eye's media."""
    lit = pixels.max(axis=2, keepdims=True) > _LIT_LEVEL
    return _bytes(np.where(lit, pixels * (1 - share) + share * np.array([190, 190, 200], np.float32), pixels))


def recompressed(pixels: Pixels, quality: int) -> Pixels:
    """Through a JPEG file of a quality, with halved chroma as cameras and OpenCV write it."""
    data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def ramped(pixels: Pixels, ramp: str, quality: int) -> Pixels:
    """The green channel (a red-free or angiography picture) coloured by a ramp of `RAMPS`, through a JPEG file."""
    return recompressed(RAMPS[ramp](np.ascontiguousarray(pixels[..., 1])), quality)


def ben_graham(pixels: Pixels, radii_per_sigma: float, surround: int | None) -> Pixels:
    """Enhanced by Ben Graham's script: the local mean subtracted, 128 added.

    Args:
        pixels: The photograph.
        radii_per_sigma: The disc's radius over the blur's σ; 30 in the script, about 10 in public copies at 224 px.
        surround: Level outside 0.9 radii; None: whatever the subtraction makes of it.
    """
    disc = find_disc(pixels)
    factor = min(1.0, 300 / disc.radius)  # the script scales every disc to a radius of 300 px
    small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.float32)
    disc = disc.scaled(factor)
    enhanced = _bytes(_GAIN * (small - cv2.GaussianBlur(small, (0, 0), disc.radius / radii_per_sigma)) + 128)
    if surround is not None:
        ys, xs = np.mgrid[: small.shape[0], : small.shape[1]] + 0.5
        enhanced[np.hypot(xs - disc.x, ys - disc.y) > _KEPT * disc.radius] = surround
    return enhanced


def _bytes(picture: NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def _mixed(red: float, green: float, blue: float, exponents: tuple[float, float, float] = (1, 1, 1)) -> View:
    """A ramp of three powers of the grey level; the factors are the colour of white."""
    return lambda grey: _bytes(
        (grey[..., None] / np.float32(255)) ** np.array(exponents) * np.array([red, green, blue])
    )


def _colour_map(number: int) -> View:
    """One of OpenCV's colour maps; black stays black."""

    def coloured(grey: Pixels) -> Pixels:
        picture = np.ascontiguousarray(cv2.applyColorMap(grey, number)[..., ::-1])
        picture[grey < _LIT_LEVEL] = _BLACK
        return picture

    return coloured


RAMPS: dict[str, View] = {
    "red": _mixed(255, 0, 0),
    "sepia": _mixed(255, 215, 150),
    "orange": _mixed(255, 160, 70, (1, 1.5, 2)),
    "like a fundus": _mixed(255, 150, 60, (0.5, 1, 1)),
    "green": _mixed(40, 255, 60),
    "hot": _colour_map(cv2.COLORMAP_HOT),
    "inferno": _colour_map(cv2.COLORMAP_INFERNO),
}
RAMP_QUALITIES = (90, 60, 40)

# What every photograph must survive without being called no fundus.
VIEWS: dict[str, View] = {
    "as it is": lambda pixels: pixels,
    "4:3 squashed to a square": squashed,
    "15 % warmer": lambda pixels: gains(pixels, 1.15, 1, 0.85),
    "15 % cooler": lambda pixels: gains(pixels, 0.85, 1, 1.15),
    "half brightness": lambda pixels: gains(pixels, 0.5, 0.5, 0.5),
    "JPEG 60": lambda pixels: recompressed(pixels, 60),
}
EXTREMES: dict[str, View] = {
    "squashed to 224 px, 15 % cooler": lambda pixels: gains(squashed(pixels, _SMALL_PX), 0.85, 1, 1.15),
    "squashed to 224 px, blue, JPEG 30": lambda pixels: recompressed(
        gains(squashed(pixels, _SMALL_PX), 0.6, 1, 1.6), 30
    ),
    "blue": lambda pixels: gains(pixels, 0.6, 1, 1.6),
    "nearly grey": lambda pixels: desaturated(pixels, 0.1),
    "hazed by 60 %": lambda pixels: hazed(pixels, 0.6),
    "hazed by 80 %": lambda pixels: hazed(pixels, 0.8),
    "quarter brightness": lambda pixels: gains(pixels, 0.25, 0.25, 0.25),
    "JPEG 30": lambda pixels: recompressed(pixels, 30),
}
ENHANCED: dict[str, View] = {
    "Ben Graham, black surround": lambda pixels: ben_graham(pixels, 30, _BLACK),
    "Ben Graham, grey surround": lambda pixels: ben_graham(pixels, 30, _GREY),
    "Ben Graham, wide, black surround": lambda pixels: ben_graham(pixels, 10, _BLACK),
    "Ben Graham, wide, not cropped": lambda pixels: ben_graham(pixels, 10, None),
    "Ben Graham, JPEG 75": lambda pixels: recompressed(ben_graham(pixels, 20, None), 75),
}
