"""How another camera would have taken a photograph: pure models, each with one strength from 0 (none) to 1 (severe).

They work on a decoded photograph, for the shift suite, or on a canvas, for training: all they need beside the pixels is
the disc. Lengths are relative to the disc, so that a strength means the same at every resolution.

| model | at strength 1 |
|---|---|
| warm, cool | the light is 130 mired redder or bluer: from a xenon flash, 5500 K, to a halogen lamp, 3200 K, and back |
| green, magenta | the green channel gets 0.4 stops more or less light |
| bright, dark | the tone curve has the exponent 1/1.8 or 1.8 |
| vignetting | the rim of the disc gets 0.3 of the light, falling off with the square of the distance |
| blur | Gaussian, standard deviation 0.6 % of the disc's diameter: 1.3 px of a network's input of 224 px |
| low_resolution | 0.5 megapixels; photographs below that are unchanged |
| high_resolution | 12 megapixels; photographs above that are unchanged |
| narrow_field | the field is 2/3 as wide, as of 30° instead of 45°; black outside, framed closely |
| cut_off | the frame cuts the field off above and below, so that 0.7 of its height remains |
| squash | the width is 2/3, as of a picture of 3 : 2 that was saved as a square |
| rotation | the picture is turned by 45°, as by a camera that is held askew |
| flip | the picture is mirrored left to right, at any strength |
| jpeg | the file has the JPEG quality 30 instead of 95 |

Light is taken as the 2.2th power of a pixel's value, as in sRGB without its linear foot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import Disc
from dr_pipeline.fundus.opencv import cv2

Pixels = NDArray[np.uint8]
Model = Callable[[Pixels, Disc, float], Pixels]

JPEG, FLIP = "jpeg", "flip"
JPEG_QUALITIES = (95, 30)  # at strength 0 and 1

_LIGHT_EXPONENT = 2.2
_MIRED = 130.0
_RADIATION_CONSTANT_M_K = 1.4388e-2  # Planck's second, CODATA 2018
_WAVELENGTHS_M = (600e-9, 540e-9, 450e-9)  # about where the channels of a camera are most sensitive
_TINT_STOPS = 0.4
_TONE_EXPONENT = 1.8
_RIM_LOSS = 0.7
_BLUR_DIAMETERS = 0.006
_MEGAPIXELS = (0.5, 12.0)
_MIN_SIDE_PX = 64  # smaller pictures are refused, see `decode`
_FIELD_LOSS = 1 / 3
_FRAME_MARGIN = 0.03
_HEIGHT_LOSS = 0.3
_WIDTH_LOSS = 1 / 3
_TURN_DEG = 45.0


def _temperature(pixels: Pixels, mired: float) -> Pixels:
    """Changes the light's colour temperature by reciprocal megakelvins, by Wien's law; green keeps its light."""
    red, green, blue = (exp(-_RADIATION_CONSTANT_M_K / wavelength * mired * 1e-6) for wavelength in _WAVELENGTHS_M)
    return _scale_light(pixels, (red / green, 1.0, blue / green))


def _scale_light(pixels: Pixels, gains: Sequence[float]) -> Pixels:
    """Multiplies the light of each channel; what exceeds the sensor's range is clipped."""
    factors = np.asarray(gains) ** (1 / _LIGHT_EXPONENT)
    return _map_levels(pixels, np.arange(256)[:, None] * factors)


def _tone_curve(pixels: Pixels, exponent: float) -> Pixels:
    return _map_levels(pixels, np.repeat(255 * (np.arange(256)[:, None] / 255) ** exponent, 3, axis=1))


def _map_levels(pixels: Pixels, levels: NDArray[np.float64]) -> Pixels:
    table = np.rint(levels.clip(0, 255)).astype(np.uint8)[None]
    mapped: Pixels = cv2.LUT(pixels, table)
    return mapped


def _vignetting(pixels: Pixels, disc: Disc, strength: float) -> Pixels:
    light = 1 - _RIM_LOSS * strength * _squared_distance(pixels, disc).clip(0, 1)
    factors = (light ** (1 / _LIGHT_EXPONENT)).astype(np.float32)
    return np.asarray(np.rint(pixels * factors[..., None]), np.uint8)


def _squared_distance(pixels: Pixels, disc: Disc) -> NDArray[np.float64]:
    """Of each pixel from the disc's centre, 1 at the disc's rim; shape (height, width)."""
    height, width = pixels.shape[:2]
    across = (np.arange(width) + 0.5 - disc.x) / disc.half_width
    down = (np.arange(height) + 0.5 - disc.y) / disc.half_height
    return np.asarray(across[None] ** 2 + down[:, None] ** 2)


def _blur(pixels: Pixels, disc: Disc, strength: float) -> Pixels:
    blurred: Pixels = cv2.GaussianBlur(pixels, (0, 0), _BLUR_DIAMETERS * strength * 2 * disc.radius)
    return blurred


def _low_resolution(pixels: Pixels, _disc: Disc, strength: float) -> Pixels:
    own, lowest = _megapixels(pixels), _MEGAPIXELS[0]
    return _resize_to(pixels, own * (lowest / own) ** strength) if own > lowest else pixels


def _high_resolution(pixels: Pixels, _disc: Disc, strength: float) -> Pixels:
    own, highest = _megapixels(pixels), _MEGAPIXELS[1]
    return _resize_to(pixels, own * (highest / own) ** strength) if own < highest else pixels


def _megapixels(pixels: Pixels) -> float:
    return float(pixels.shape[0] * pixels.shape[1] / 1e6)


def _resize_to(pixels: Pixels, megapixels: float) -> Pixels:
    factor = sqrt(megapixels / _megapixels(pixels))
    return _resize(pixels, pixels.shape[1] * factor, pixels.shape[0] * factor)


def _resize(pixels: Pixels, width: float, height: float) -> Pixels:
    sides = (max(_MIN_SIDE_PX, round(width)), max(_MIN_SIDE_PX, round(height)))
    method = cv2.INTER_CUBIC if sides[0] > pixels.shape[1] else cv2.INTER_AREA
    resized: Pixels = cv2.resize(pixels, sides, interpolation=method)
    return resized


def _narrow_field(pixels: Pixels, disc: Disc, strength: float) -> Pixels:
    kept = 1 - _FIELD_LOSS * strength
    inside = _squared_distance(pixels, disc) <= kept**2
    framed = kept * (1 + _FRAME_MARGIN)
    return _crop(np.where(inside[..., None], pixels, np.uint8(0)), disc, framed * disc.half_width, framed)


def _cut_off(pixels: Pixels, disc: Disc, strength: float) -> Pixels:
    return _crop(pixels, disc, float(pixels.shape[1]), 1 - _HEIGHT_LOSS * strength)


def _crop(pixels: Pixels, disc: Disc, half_width_px: float, half_heights: float) -> Pixels:
    """What lies within so many px left and right, and half heights of the disc above and below, of its centre."""
    left, right = max(0, round(disc.x - half_width_px)), round(disc.x + half_width_px)
    top, bottom = (round(disc.y + sign * half_heights * disc.half_height) for sign in (-1, 1))
    return np.ascontiguousarray(pixels[max(0, top) : max(bottom, 1), left : max(right, 1)])


def _squash(pixels: Pixels, _disc: Disc, strength: float) -> Pixels:
    return _resize(pixels, pixels.shape[1] * (1 - _WIDTH_LOSS * strength), pixels.shape[0])


def _rotate(pixels: Pixels, disc: Disc, strength: float) -> Pixels:
    """Turned around the disc's centre, in a frame that holds all of it; black where nothing was."""
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((disc.x, disc.y), _TURN_DEG * strength, 1.0)
    corners = turn @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], dtype=np.float64)
    turn[:, 2] -= corners.min(axis=1)
    sides = np.ceil(np.ptp(corners, axis=1)).astype(int)
    turned: Pixels = cv2.warpAffine(pixels, turn, (int(sides[0]), int(sides[1])), flags=cv2.INTER_CUBIC)
    return turned


# In the order in which a camera applies them. Those that need the disc come before those that move it.
CAMERA_MODELS: dict[str, Model] = {
    "warm": lambda pixels, _disc, strength: _temperature(pixels, _MIRED * strength),
    "cool": lambda pixels, _disc, strength: _temperature(pixels, -_MIRED * strength),
    "vignetting": _vignetting,
    "blur": _blur,
    "green": lambda pixels, _disc, strength: _scale_light(pixels, (1, 2 ** (_TINT_STOPS * strength), 1)),
    "magenta": lambda pixels, _disc, strength: _scale_light(pixels, (1, 2 ** (-_TINT_STOPS * strength), 1)),
    "bright": lambda pixels, _disc, strength: _tone_curve(pixels, _TONE_EXPONENT**-strength),
    "dark": lambda pixels, _disc, strength: _tone_curve(pixels, _TONE_EXPONENT**strength),
    "narrow_field": _narrow_field,
    "cut_off": _cut_off,
    "low_resolution": _low_resolution,
    "high_resolution": _high_resolution,
    "squash": _squash,
    "rotation": _rotate,
    FLIP: lambda pixels, _disc, _strength: np.ascontiguousarray(pixels[:, ::-1]),
    JPEG: lambda pixels, _disc, _strength: pixels,  # of the file, see `Camera.encode`
}
# What each model does at a strength, in its own unit, for the axis of a curve.
_AMOUNTS: dict[str, Callable[[float], str]] = {
    "warm": lambda strength: f"+{_MIRED * strength:.0f} mired",
    "cool": lambda strength: f"−{_MIRED * strength:.0f} mired",
    "vignetting": lambda strength: f"rim at {100 * (1 - _RIM_LOSS * strength):.0f} % light",
    "blur": lambda strength: f"σ {100 * _BLUR_DIAMETERS * strength:.2f} % of disc",
    "green": lambda strength: f"+{_TINT_STOPS * strength:.2f} stops of green",
    "magenta": lambda strength: f"−{_TINT_STOPS * strength:.2f} stops of green",
    "bright": lambda strength: f"gamma {_TONE_EXPONENT**-strength:.2f}",
    "dark": lambda strength: f"gamma {_TONE_EXPONENT**strength:.2f}",
    "narrow_field": lambda strength: f"{100 * (1 - _FIELD_LOSS * strength):.0f} % of the field",
    "cut_off": lambda strength: f"{100 * (1 - _HEIGHT_LOSS * strength):.0f} % of the height",
    "low_resolution": lambda strength: f"{100 * strength:.0f} % to {_MEGAPIXELS[0]:g} MP",
    "high_resolution": lambda strength: f"{100 * strength:.0f} % to {_MEGAPIXELS[1]:g} MP",
    "squash": lambda strength: f"{100 * (1 - _WIDTH_LOSS * strength):.0f} % of the width",
    "rotation": lambda strength: f"{_TURN_DEG * strength:.0f}°",
    FLIP: lambda _strength: "mirrored",
    JPEG: lambda strength: f"quality {jpeg_quality(strength)}",
}


def amount(model: str, strength: float) -> str:
    """What a model of `CAMERA_MODELS` does at a strength, in its own unit, such as `quality 30`."""
    return _AMOUNTS[model](strength)


def jpeg_quality(strength: float) -> int:
    """The JPEG quality at a strength."""
    best, worst = JPEG_QUALITIES
    return round(best + (worst - best) * strength)


# A camera has at most one model of each. The first ones show on a canvas, too: resolution and squash are undone by the
# pixel path, and blocks of JPEG have another size there.
_ON_CANVASES = (
    ("warm", "cool"),
    ("green", "magenta"),
    ("bright", "dark"),
    ("vignetting",),
    ("blur",),
    ("narrow_field", "cut_off"),
)
_ALTERNATIVES = (*_ON_CANVASES, ("low_resolution", "high_resolution"), ("squash",), (JPEG,))
CANVAS_MODELS = tuple(name for name in CAMERA_MODELS if any(name in group for group in _ON_CANVASES))


@dataclass(frozen=True)
class Camera:
    """Models of `CAMERA_MODELS`, applied in its order, all with the same strength from 0 to 1.

    Raises:
        ValueError: A model is unknown, or the strength out of range.
    """

    models: frozenset[str]
    strength: float

    def __post_init__(self) -> None:
        unknown = sorted(self.models - set(CAMERA_MODELS))
        if unknown or not 0 <= self.strength <= 1:
            raise ValueError(f"unknown models {unknown}" if unknown else f"strength {self.strength} is not in 0 … 1")

    def photograph(self, pixels: Pixels, disc: Disc) -> Pixels:
        """The photograph as this camera would have taken it.

        Args:
            pixels: (height, width, 3) RGB.
            disc: In px of `pixels`.

        Returns:
            RGB; of another shape where the camera has another resolution, field or frame.
        """
        if self.strength == 0:
            return pixels
        for name, model in CAMERA_MODELS.items():
            if name in self.models:
                pixels = model(pixels, disc, self.strength)
        return pixels

    def canvas(self, canvas: Pixels) -> Pixels:
        """The canvas that the pixel path would make of this camera's photograph, roughly; models of `CANVAS_MODELS`.

        Args:
            canvas: (side, side, 3) RGB, with the disc as its inscribed circle.

        Returns:
            RGB of the same shape.
        """
        side = canvas.shape[0]
        pixels = self.photograph(canvas, Disc(side / 2, side / 2, side / 2, "circle"))
        height, width = pixels.shape[:2]
        if height == width == side:
            return pixels
        if height == width:  # the disc fills the canvas again, also where its field was narrowed
            filled: Pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_CUBIC)
            return filled
        above = (side - height) // 2
        framed: Pixels = cv2.copyMakeBorder(pixels, above, side - height - above, 0, 0, cv2.BORDER_CONSTANT)
        return framed

    def encode(self, pixels: Pixels) -> bytes:
        """The JPEG file that this camera would write."""
        quality = jpeg_quality(self.strength if JPEG in self.models else 0.0)
        written, data = cv2.imencode(
            ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        if not written:
            raise RuntimeError(f"cv2 could not encode a picture of shape {pixels.shape}")
        return data.tobytes()


def draw_camera(rng: np.random.Generator, strength: float, *, num_models: int = 3, on_canvases: bool = False) -> Camera:
    """A camera with several models at once, drawn as in RandAugment (Cubuk et al., CVPR Workshops 2020).

    Args:
        rng: Equal states draw equal cameras.
        strength: Of each model, 0 … 1.
        num_models: How many, at most one of each pair of opposites; at most 9, of `CANVAS_MODELS` 6.
        on_canvases: Of `CANVAS_MODELS` only.
    """
    alternatives = _ON_CANVASES if on_canvases else _ALTERNATIVES
    chosen = rng.choice(len(alternatives), num_models, replace=False)
    return Camera(frozenset(str(rng.choice(alternatives[index])) for index in chosen), strength)
