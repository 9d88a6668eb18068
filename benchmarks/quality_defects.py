"""Defects and texts planted in photographs, at stated strengths and seeded: what `benchmarks.quality` measures on.

Each defect takes the decoded picture before the pixel path, so that the disc fit meets the defect too, and a
strength 1 (slight), 2 (plain), 3 (heavy) or 4 (hardly usable). Lengths are shares of the disc's radius R.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.field import Disc
from dr_pipeline.fundus.opencv import cv2

STRENGTHS = (1, 2, 3, 4)
Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]
Defect = Callable[[Pixels, Disc, int, np.random.Generator], Pixels]

BLUR_SIGMA = (0.006, 0.012, 0.02, 0.035)  # of R: a vessel at the optic disc is about 0.02 R wide
DARK_GAIN = (0.6, 0.42, 0.28, 0.18)  # of the stored values
BRIGHT_LEVEL = (1.2, 1.5, 1.9, 2.4)  # of white: where the disc's typical brightest channel would lie, were it kept
CUT_DEPTH = (0.2, 0.35, 0.5, 0.65)  # of R: how much of the disc's width lies beyond one side of the frame
_SENSOR_NOISE = 1.5  # grey levels, on the dark pictures


def blur(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """Out of focus: a Gaussian over the whole picture."""
    return _bytes(cv2.GaussianBlur(pixels, (0, 0), BLUR_SIGMA[strength - 1] * disc.radius * rng.uniform(0.9, 1.1)))


def dark(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """Too little light, and the sensor's noise."""
    gain = DARK_GAIN[strength - 1] * rng.uniform(0.95, 1.05)
    noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(_SENSOR_NOISE)
    return _bytes(np.where(_inside(pixels, disc)[..., None], pixels * np.float32(gain) + noise, pixels))


def overexposed(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """Too much light: clipped. Relative to the photograph's own exposure, since brightening a dark one improves it."""
    typical = np.quantile(pixels.max(axis=2)[_inside(pixels, disc)], 0.75)
    return _bytes(pixels * np.float32(BRIGHT_LEVEL[strength - 1] * rng.uniform(0.97, 1.03) * 255 / typical))


def off_centre(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """The disc moved to the left or right until the frame's side cuts it."""
    width = pixels.shape[1]
    depth = CUT_DEPTH[strength - 1] * rng.uniform(0.95, 1.05) * disc.radius
    shift = width - disc.x - disc.radius + depth if rng.random() < 0.5 else -(disc.x - disc.radius + depth)
    move = np.array([[1, 0, round(shift)], [0, 1, 0]], np.float64)
    return _bytes(cv2.warpAffine(pixels, move, (width, pixels.shape[0]), flags=cv2.INTER_NEAREST))


def glare(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """A whitish crescent along the rim: stray light from the pupil's edge."""
    distance, angle = _polar(pixels, disc)
    centre = rng.uniform(-np.pi, np.pi)
    half_width, depth = np.radians((45, 55, 65, 80))[strength - 1], (0.2, 0.27, 0.35, 0.45)[strength - 1]
    turn = np.abs((angle - centre + np.pi) % (2 * np.pi) - np.pi) / half_width
    veil = np.clip((distance - 1 + depth) / depth, 0, 1) * np.clip(1.3 - turn**2, 0, 1)
    return _veiled(pixels, disc, veil * (0.6, 0.7, 0.8, 0.95)[strength - 1], (235, 225, 215))


def haze(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """A soft grey-white patch: tears on the lens, an opacity of the eye's media."""
    spot = _spot(pixels, disc, rng, (0.35, 0.45, 0.55, 0.65)[strength - 1], within=0.5)
    return _veiled(pixels, disc, spot * (0.35, 0.5, 0.65, 0.8)[strength - 1], (200, 185, 165))


def flare(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """Three nearly white spots in a row, the lens's own reflections."""
    picture = pixels
    radius = (0.11, 0.14, 0.18, 0.22)[strength - 1]
    angle, start = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.4)
    for step, size in ((-start, 1.0), (start, 0.8), (start + 2.2 * radius, 0.6)):
        distance = _distance(picture, disc, step * np.cos(angle), step * np.sin(angle))
        veil = np.clip((radius * size - distance) / (0.3 * radius) + 0.5, 0, 1) * (0.55, 0.7, 0.8, 0.9)[strength - 1]
        picture = _veiled(picture, disc, veil, (250, 240, 230))
    return picture


def eyelash(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """The lid's shadow and out-of-focus lashes, from above or below."""
    _, ys = _grid(pixels, disc)
    side = 1 if rng.random() < 0.5 else -1
    reach = (0.55, 0.45, 0.3, 0.1)[strength - 1]
    shade = np.clip((side * ys - reach) / 0.25, 0, 1) * (0.5, 0.6, 0.75, 0.85)[strength - 1]
    lashes = np.zeros(pixels.shape[:2], np.uint8)
    for _ in range(5 + 3 * strength):
        x, lean, length = rng.uniform(-0.8, 0.8), rng.uniform(-0.25, 0.25), rng.uniform(0.3, 0.4 + 0.12 * strength)
        ends = [(x, side * 0.95), (x + lean, side * (0.95 - length))]
        start, end = ((round(disc.x + u * disc.radius), round(disc.y + v * disc.radius)) for u, v in ends)
        cv2.line(lashes, start, end, 255, max(1, round(0.035 * disc.radius)), cv2.LINE_AA)
    soft = cv2.GaussianBlur(lashes, (0, 0), 0.012 * disc.radius).astype(np.float32) / 255
    return _veiled(pixels, disc, np.maximum(shade, 0.7 * soft), (12, 8, 6))


def blot(pixels: Pixels, disc: Disc, strength: int, rng: np.random.Generator) -> Pixels:
    """A dark blot out of focus: dirt on the lens."""
    spot = _spot(pixels, disc, rng, (0.14, 0.2, 0.27, 0.36)[strength - 1], within=0.6, edge=0.35)
    return _veiled(pixels, disc, spot * (0.6, 0.7, 0.8, 0.9)[strength - 1], (14, 10, 8))


ARTEFACTS: dict[str, Defect] = {"glare": glare, "haze": haze, "flare": flare, "eyelash": eyelash, "blot": blot}
DEFECTS: dict[str, Defect] = {"blur": blur, "dark": dark, "overexposed": overexposed, "off_centre": off_centre}


def _grid(pixels: Pixels, disc: Disc) -> tuple[Plane, Plane]:
    """Each pixel's place relative to the disc's centre, in R: (1, width) and (height, 1)."""
    height, width = pixels.shape[:2]
    xs = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - disc.x) / disc.radius
    ys = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - disc.y) / disc.radius
    return xs.astype(np.float32), ys.astype(np.float32)


def _distance(pixels: Pixels, disc: Disc, x: float = 0.0, y: float = 0.0) -> Plane:
    xs, ys = _grid(pixels, disc)
    distance: Plane = np.sqrt((xs - np.float32(x)) ** 2 + (ys - np.float32(y)) ** 2)
    return distance


def _polar(pixels: Pixels, disc: Disc) -> tuple[Plane, Plane]:
    xs, ys = _grid(pixels, disc)
    return _distance(pixels, disc), np.arctan2(ys, xs).astype(np.float32)


def _inside(pixels: Pixels, disc: Disc) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = _distance(pixels, disc) <= 1
    return inside


def _spot(
    pixels: Pixels, disc: Disc, rng: np.random.Generator, radius: float, *, within: float, edge: float = 0.8
) -> Plane:
    """1 at the middle of a spot placed at random within `within` R, 0 from `radius` on; `edge` of it is slope."""
    angle, away = rng.uniform(0, 2 * np.pi), within * np.sqrt(rng.uniform(0, 1))
    distance = _distance(pixels, disc, away * np.cos(angle), away * np.sin(angle))
    slope = np.clip((radius - distance) / (edge * radius), 0, 1)
    spot: Plane = (slope * slope * (3 - 2 * slope)).astype(np.float32)
    return spot


def _veiled(pixels: Pixels, disc: Disc, share: NDArray[np.floating], colour: tuple[int, int, int]) -> Pixels:
    """Mixes `share` of a colour into the disc."""
    share = np.where(_inside(pixels, disc), share, 0).astype(np.float32)[..., None]
    # What the frame cut off, or the camera blackened, stays black.
    share = share * (pixels.max(axis=2, keepdims=True) > 8)
    return _bytes(pixels * (1 - share) + np.array(colour, np.float32) * share)


def _bytes(picture: NDArray[np.floating] | Pixels) -> Pixels:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


TEXTS = ("DOE JANE 12.03.1961", "J. SMITH", "2019-04-17", "ID 0048213", "MULLER^ANNA", "17/04/2019 10:42", "F 58Y OD")
_TEXT_HEIGHT = (0.01, 0.03)  # of the picture's height
_TEXT_LEVEL = (45, 255)
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


def burn_in(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Writes a name, a number or a date into one of the frame's corners, in white, yellow or green."""
    height, width = picture.shape[:2]
    letters_px = round(float(rng.uniform(*_TEXT_HEIGHT)) * height)
    text, font = str(rng.choice(TEXTS)), int(rng.choice(_FONTS))
    thickness = max(1, round(letters_px / int(rng.choice((8, 12, 16)))))
    scale = cv2.getFontScaleFromHeight(font, letters_px, thickness)
    (text_width, text_height), _ = cv2.getTextSize(text, font, scale, thickness)
    margin = 0.008 * height
    x = margin if rng.random() < 0.5 else width - text_width - margin
    y = margin + text_height if rng.random() < 0.5 else height - margin
    level = int(rng.integers(*_TEXT_LEVEL))
    colour = ((level,) * 3, (0, level, level), (0, level, 0))[int(rng.integers(3))]  # BGR
    marked = picture.copy()
    cv2.putText(marked, text, (round(x), round(y)), font, scale, colour, thickness, cv2.LINE_AA)
    return marked
