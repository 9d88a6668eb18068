"""Retakes of an eye, made of one photograph: another view of it in another light, for tests and benchmarks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_mask, disc_radius_px
from dr_pipeline.fundus.opencv import cv2

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """A camera's view of a photograph.

    Attributes:
        x: Centre, in radii of the photograph's field from its centre.
        y: Likewise.
        radius: Of the view, in radii of the photograph's field.
        rotation_deg: Of the camera.
    """

    x: float = 0.0
    y: float = 0.0
    radius: float = 1.0
    rotation_deg: float = 0.0


def draw_views(rng: np.random.Generator, field: float) -> tuple[View, View, float]:
    """Two views: 10–40 % of the field apart, rotated by up to 15°, 0.8–1.25 in scale.

    Args:
        rng: Draws them.
        field: Radius of the first view. At about 0.6 both views lie within the photograph, as two fields of a wider
            retina do; at 1 the second is black where the photograph ends.

    Returns:
        The views, and their distance as a fraction of the field's diameter.
    """
    shift, angle = rng.uniform(0.1, 0.4), rng.uniform(0, 2 * np.pi)
    scale, rotation = np.exp(rng.uniform(np.log(0.8), np.log(1.25))), rng.uniform(-15, 15)
    x, y = shift * field * np.cos(angle), shift * field * np.sin(angle)
    if field < 1:
        return View(-x, -y, field), View(x, y, field / scale, rotation), shift
    return View(), View(2 * x, 2 * y, field / scale, rotation), shift


def take(picture: Pixels, view: View, side_px: int) -> Pixels:
    """A view of a canvas as a canvas, black outside its field."""
    zoom = disc_radius_px(side_px) / (view.radius * disc_radius_px(len(picture)))
    angle = np.radians(view.rotation_deg)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = len(picture) / 2 + disc_radius_px(len(picture)) * np.array([view.x, view.y])
    matrix = np.column_stack((turn, side_px / 2 - turn @ centre))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    seen = cv2.warpAffine(picture, matrix, (side_px, side_px), flags=method)
    return cv2.bitwise_and(seen, seen, mask=disc_mask(side_px))


def relight(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Other brightness, contrast, colour, vignetting and focus, noise, and a JPEG's loss; black stays black."""
    dark = picture.max(axis=2) <= 8
    light = (picture.astype(np.float32) / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.7, 1.25)
    light *= rng.uniform(0.88, 1.12, 3).astype(np.float32)
    angle, across = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, len(picture), dtype=np.float32)
    slope = across[None] * np.cos(angle) + across[:, None] * np.sin(angle)
    light *= (1 + rng.uniform(0, 0.3) * slope)[..., None]
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 1.5))
    light += rng.normal(0, rng.uniform(0.004, 0.015), light.shape)
    noisy = np.clip(255 * light, 0, 255).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", noisy, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 95))))[1]
    result = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    result[dark] = 0
    return result


def retake(picture: Pixels, rng: np.random.Generator, *, field: float, side_px: int) -> tuple[Pixels, Pixels, float]:
    """Two photographs of one eye, and how far apart they are; see `draw_views`.

    Args:
        picture: (side, side, 3) canvas, RGB, larger than `side_px`: noise and blur are those of the larger one.
        rng: Draws view and light.
        field: Radius of the first view.
        side_px: Of the results.
    """
    one, other, shift = draw_views(rng, field)
    full_px = round(len(picture) * field)
    photographs = [relight(take(picture, view, full_px), rng) for view in (one, other)]
    small = [cv2.resize(photograph, (side_px, side_px), interpolation=cv2.INTER_AREA) for photograph in photographs]
    return small[0], small[1], shift


def with_dust(picture: Pixels, seed: int, count: int = 40) -> Pixels:
    """The marks of a dirty camera: spots and a scratch, at the same places in every photograph of one seed."""
    rng, side = np.random.default_rng(seed), len(picture)
    shade = np.ones((side, side), np.float32)
    for angle, reach, size in zip(*(rng.uniform(0, 1, count) for _ in range(3)), strict=True):
        reach_px = 0.85 * np.sqrt(reach) * disc_radius_px(side)
        x, y = side / 2 + reach_px * np.array([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)])
        cv2.circle(shade, (round(x), round(y)), max(1, round(side * (0.004 + 0.012 * size))), 0.55, -1, cv2.LINE_AA)
    cv2.line(shade, (side // 4, side // 3), (3 * side // 4, side // 2), 1.35, max(1, side // 250), cv2.LINE_AA)
    return np.clip(picture * cv2.GaussianBlur(shade, (0, 0), side / 400)[..., None], 0, 255).astype(np.uint8)
