"""Images that show no fundus, of the kinds that get into a folder of fundus photographs; drawn from random numbers.

A document page, a face, a landscape, a colour gradient (a test chart, a screen saver), the grey section of an OCT scan,
and the external eye, which fundus cameras photograph too. A black frame (lens cap) is not among them: it is a dark
photograph, which the quality score rejects.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.intake.phantom.background import smooth_noise
from dr_pipeline.intake.phantom.painting import ByteImage

NON_FUNDUS_KINDS = ("document", "face", "landscape", "gradient", "oct", "outer_eye")
_NOISE = 3.0  # grey levels of a camera's or scanner's noise


def draw_non_fundus(rng: np.random.Generator, kind: str, width: int, height: int) -> ByteImage:
    """Draws one image that shows no fundus, RGB (height, width, 3).

    Args:
        rng: Decides colours, positions and text.
        kind: One of `NON_FUNDUS_KINDS`.
        width: px.
        height: px.
    """
    image = _DRAWERS[kind](rng, width, height)
    noise = rng.normal(0, _NOISE, (height, width, 1))
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _document(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """A scanned page: paper, a coloured letterhead, lines of words."""
    page = np.full((height, width, 3), rng.uniform(225, 250, 3), np.float32)
    margin, step = width // 12, max(6, height // int(rng.integers(24, 40)))
    cv2.rectangle(page, (margin, margin // 2), (int(width * rng.uniform(0.3, 0.6)), margin), _colour(rng, 20, 200), -1)
    ink = rng.uniform(15, 80)
    for y in range(2 * margin, height - margin, step):
        x, end = margin, width - margin - int(rng.integers(0, width // 4))
        while x < end:
            word = int(rng.integers(width // 60 + 2, width // 12 + 4))
            cv2.rectangle(page, (x, y), (min(x + word, end), y + step // 3), (ink, ink, ink), -1)
            x += word + max(2, width // 100)
    return page


def _face(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """A head before a wall: skin, hair, eyes, mouth."""
    image = _gradient(rng, width, height) * 0.5 + rng.uniform(40, 120)
    skin = np.array([225.0, 172.0, 140.0]) * rng.uniform(0.45, 1.05)
    centre, unit = (width // 2, int(height * 0.52)), int(height * rng.uniform(0.26, 0.36))
    hair = tuple(rng.uniform(15, 90) * np.array([1.0, 0.8, 0.6]))
    cv2.ellipse(image, (centre[0], centre[1] - unit // 4), (unit, int(1.25 * unit)), 0, 0, 360, hair, -1)
    cv2.ellipse(image, centre, (int(0.82 * unit), int(1.12 * unit)), 0, 0, 360, tuple(skin), -1)
    for side in (-1, 1):
        eye = (centre[0] + side * int(0.34 * unit), centre[1] - int(0.2 * unit))
        cv2.ellipse(image, eye, (unit // 6, unit // 10), 0, 0, 360, (235.0, 235.0, 235.0), -1)
        cv2.circle(image, eye, max(1, unit // 12), _colour(rng, 20, 110), -1)
    mouth = (centre[0], centre[1] + int(0.5 * unit))
    cv2.ellipse(image, mouth, (unit // 3, unit // 10), 0, 0, 360, tuple(skin * np.array([0.8, 0.45, 0.45])), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(0.6, height / 400)), np.float32)


def _landscape(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Sky, ranges of hills, a meadow."""
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    zenith, horizon = np.array([70.0, 120.0, 200.0]), np.array([190.0, 210.0, 235.0])
    image = np.repeat((zenith + (horizon - zenith) * down) * rng.uniform(0.8, 1.05), width, axis=1).astype(np.float32)
    xs = np.arange(width)
    for nearness in (0.35, 0.55, 0.78):
        bumps = sum(
            rng.uniform(0.2, 1.0) / k * np.sin(2 * math.pi * (k * xs / width + rng.uniform())) for k in range(1, 6)
        )
        ridge = np.rint(height * (nearness + 0.06 * np.asarray(bumps))).astype(np.int32)
        outline = np.column_stack([np.r_[xs, width, -1], np.r_[ridge, height, height]]).astype(np.int32)
        green = np.array([60.0, 120.0, 55.0]) * (1.5 - nearness) * rng.uniform(0.8, 1.1)
        cv2.fillPoly(image, [outline], tuple(green))
    leaves = smooth_noise(rng, height, width, max(2.0, width / 150))[..., None]
    return np.asarray(image + 8 * leaves, np.float32)


def _gradient(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Four random colours at the corners, interpolated."""
    corners = rng.uniform(20, 240, (2, 2, 3)).astype(np.float32)
    corners[..., 2] = np.maximum(corners[..., 2], 90)  # some blue, which tissue does not have
    return np.asarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _oct(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """A grey B-scan: bright layers of retina over black, speckled."""
    xs, ys = np.arange(width) / width, np.arange(height)[:, None] / height
    surface = rng.uniform(0.35, 0.5) + 0.06 * np.cos(2 * math.pi * (xs - 0.5) * rng.uniform(0.6, 1.2))
    pit = rng.uniform(0.03, 0.08) * np.exp(-(((xs - rng.uniform(0.4, 0.6)) / 0.08) ** 2))
    depth = (ys - surface - pit) / rng.uniform(0.16, 0.24)
    layers = 0.55 + 0.45 * np.cos(2 * math.pi * depth * rng.uniform(2.5, 3.5))
    grey = 12 + 190 * np.where((depth > 0) & (depth < 1), layers, 0) + 60 * np.exp(-np.abs(depth - 1) * 6) * (depth > 1)
    speckle = rng.gamma(4, 0.25, (height, width))
    return np.repeat(np.asarray(grey * speckle, np.float32)[..., None], 3, axis=2)


def _outer_eye(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Lids, white and iris, lit from the front."""
    skin, white = np.array([220.0, 165.0, 135.0]) * rng.uniform(0.5, 1.0), np.array([225.0, 210.0, 200.0])
    image = np.full((height, width, 3), skin, np.float32)
    image += 10 * smooth_noise(rng, height, width, height / 10)[..., None]
    centre = (int(width * rng.uniform(0.45, 0.55)), int(height * rng.uniform(0.45, 0.55)))
    opening = (int(0.42 * width), int(height * rng.uniform(0.24, 0.36)))
    cv2.ellipse(image, centre, opening, rng.uniform(-8, 8), 0, 360, tuple(white * rng.uniform(0.75, 1.0)), -1)
    iris = int(opening[1] * rng.uniform(0.8, 0.95))
    cv2.circle(image, centre, iris, _colour(rng, 30, 130), -1, cv2.LINE_AA)
    cv2.circle(image, centre, int(iris * rng.uniform(0.3, 0.7)), (12.0, 10.0, 10.0), -1, cv2.LINE_AA)
    cv2.circle(image, (centre[0] + iris // 4, centre[1] - iris // 4), max(2, iris // 10), (250.0, 250.0, 250.0), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(0.6, height / 300)), np.float32)


def _colour(rng: np.random.Generator, low: float, high: float) -> tuple[float, ...]:
    return tuple(float(value) for value in rng.uniform(low, high, 3))


_DRAWERS = {
    "document": _document,
    "face": _face,
    "landscape": _landscape,
    "gradient": _gradient,
    "oct": _oct,
    "outer_eye": _outer_eye,
}
