"""Composes pictures from photographs whose disc is known: several fields in one, other grounds, frames, aspects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

GROUNDS: dict[str, Colour] = {
    "black": (0, 0, 0),
    "unlit": (9, 9, 9),
    "dark grey": (45, 45, 45),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "blue": (40, 60, 120),
}
_SIDE_PX = 420
_SURROUND = 0.995  # of the radius: beyond it the ground is replaced
_TIGHT, _INNER = 1.02, 0.66  # of the radius: half sides of a crop to the field, and of one that lies within it
_DARKER = 0.35


@dataclass(frozen=True, eq=False)
class Fundus:
    """One photograph and its round field: centre and radius in px of `pixels`."""

    pixels: Pixels
    x: float
    y: float
    radius: float

    def on(self, ground: Colour) -> "Fundus":
        """The same with all that lies beyond the rim in one colour."""
        height, width = self.pixels.shape[:2]
        v, u = np.mgrid[:height, :width] + 0.5
        beyond = np.hypot(u - self.x, v - self.y) > _SURROUND * self.radius
        return Fundus(np.where(beyond[..., None], np.array(ground, np.uint8), self.pixels), self.x, self.y, self.radius)

    def crop(self, radii: float) -> Pixels:
        """The square of this half side around the centre, as far as it lies in the picture."""
        half = radii * self.radius
        left, top = max(0, int(self.x - half)), max(0, int(self.y - half))
        return self.pixels[top : int(self.y + half), left : int(self.x + half)]


def scaled(pixels: Pixels, *, height: float | None = None, width: float | None = None) -> Pixels:
    """Resized to a height or a width."""
    factor = height / pixels.shape[0] if height is not None else (width or 0) / pixels.shape[1]
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def paste(base: Pixels, tile: Pixels, x: int, y: int) -> None:
    """Writes a tile into a picture, as far as it lies there."""
    height, width = tile.shape[:2]
    left, top, right, bottom = max(0, x), max(0, y), min(base.shape[1], x + width), min(base.shape[0], y + height)
    base[top:bottom, left:right] = tile[top - y : bottom - y, left - x : right - x]


def row(tiles: Sequence[Pixels], ground: Colour, gap: int) -> Pixels:
    """Tiles side by side; with a negative gap they overlap."""
    height = max(tile.shape[0] for tile in tiles)
    width = sum(tile.shape[1] for tile in tiles) + gap * (len(tiles) - 1)
    picture, x = np.full((height, width, 3), ground, np.uint8), 0
    for tile in tiles:
        paste(picture, tile, x, (height - tile.shape[0]) // 2)
        x += tile.shape[1] + gap
    return picture


def column(tiles: Sequence[Pixels], ground: Colour, gap: int) -> Pixels:
    """Tiles one below the other."""
    return row([tile.transpose(1, 0, 2) for tile in tiles], ground, gap).transpose(1, 0, 2)


def framed(picture: Pixels, ground: Colour, px: int) -> Pixels:
    """With a margin of one colour."""
    return cv2.copyMakeBorder(picture, px, px, px, px, cv2.BORDER_CONSTANT, value=ground)


def _tiles(photographs: Sequence[Fundus], ground: Colour) -> list[Pixels]:
    return [scaled(fundus.on(ground).crop(_TIGHT), height=_SIDE_PX) for fundus in photographs]


def _as_files(photographs: Sequence[Fundus]) -> list[Pixels]:
    return [scaled(fundus.pixels, height=_SIDE_PX) for fundus in photographs]


def _within(photographs: Sequence[Fundus]) -> list[Pixels]:
    return [scaled(fundus.crop(_INNER), height=_SIDE_PX) for fundus in photographs]


def _side_by_side(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    return row(_tiles(photographs[:2], ground), ground, 10)


def _stacked(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    return column([scaled(tile, width=_SIDE_PX) for tile in _tiles(photographs[:2], ground)], ground, 10)


def _unequal(photographs: Sequence[Fundus], ground: Colour, rng: np.random.Generator) -> Pixels:
    first, second = _tiles(photographs[:2], ground)
    return row([first, scaled(second, height=_SIDE_PX * rng.uniform(0.2, 0.6))], ground, 10)


def _four(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    tiles = _tiles(photographs[:4], ground)
    return framed(column([row(tiles[:2], ground, 8), row(tiles[2:], ground, 8)], ground, 8), ground, 20)


def _nine(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    tiles = [scaled(tile, height=_SIDE_PX / 2) for tile in _tiles(photographs, ground)] * 3
    return column([row(tiles[start : start + 3], ground, 6) for start in (0, 3, 6)], ground, 6)


def _touching(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    return row(_tiles(photographs[:2], ground), ground, -_SIDE_PX // 32)


def _overlapping(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    first, second = _tiles(photographs[:2], ground)
    picture = np.full((_SIDE_PX + 60, first.shape[1] + second.shape[1], 3), ground, np.uint8)
    paste(picture, first, 0, 0)
    x, y = round(0.75 * first.shape[1]), 40
    below = picture[y : y + second.shape[0], x : x + second.shape[1]]
    differs = (np.abs(second.astype(int) - np.array(ground)).max(axis=2) > 25).astype(np.uint8)
    is_field = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0
    below[is_field] = second[is_field]
    return picture[:, : x + second.shape[1]]


def _on_page(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    return framed(row(_as_files(photographs[:2]), ground, 16), ground, 24)


def _joined_files(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    return framed(row(_as_files(photographs[:2]), ground, 0), ground, 6)


def _cut_within(photographs: Sequence[Fundus], _ground: Colour, _rng: np.random.Generator) -> Pixels:
    return row(_within(photographs[:2]), (0, 0, 0), 0)


def _cut_within_gutter(photographs: Sequence[Fundus], ground: Colour, _rng: np.random.Generator) -> Pixels:
    return row(_within(photographs[:2]), ground, 10)


def _inset(photographs: Sequence[Fundus], ground: Colour, rng: np.random.Generator) -> Pixels:
    first, second = _tiles(photographs[:2], ground)
    picture = row([first, np.full((_SIDE_PX, _SIDE_PX // 2, 3), ground, np.uint8)], ground, 0)
    small = scaled(second, height=_SIDE_PX * rng.uniform(0.2, 0.35))
    paste(picture, small, picture.shape[1] - small.shape[1] - 6, 6)
    return picture


def _one_dark(photographs: Sequence[Fundus], ground: Colour, rng: np.random.Generator) -> Pixels:
    first, second = photographs[:2]
    dark = Fundus((second.pixels * _DARKER).astype(np.uint8), second.x, second.y, second.radius)
    return _side_by_side([first, dark], ground, rng)


def _squashed_pair(photographs: Sequence[Fundus], ground: Colour, rng: np.random.Generator) -> Pixels:
    return cv2.resize(_side_by_side(photographs, ground, rng), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)


def _viewer(photographs: Sequence[Fundus], ground: Colour, rng: np.random.Generator) -> Pixels:
    return with_bar(framed(_side_by_side(photographs, ground, rng), ground, 20))


def with_bar(picture: Pixels) -> Pixels:
    """Below the title bar of a viewer."""
    bar = np.full((40, picture.shape[1], 3), (70, 90, 160), np.uint8)
    cv2.putText(bar, "Viewer  File  Edit", (8, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([bar, picture])


Layout = Callable[[Sequence[Fundus], Colour, np.random.Generator], Pixels]

# Several fields in one picture, from four photographs.
SEVERAL: dict[str, Layout] = {
    "side by side": _side_by_side,
    "stacked": _stacked,
    "unequal": _unequal,
    "four": _four,
    "nine": _nine,
    "touching": _touching,
    "overlapping": _overlapping,
    "whole files on a page": _on_page,
    "whole files joined": _joined_files,
    "cut within the fields": _cut_within,
    "cut within, gutter": _cut_within_gutter,
    "small inset": _inset,
    "one dark": _one_dark,
    "squashed pair": _squashed_pair,
    "viewer": _viewer,
}


@dataclass(frozen=True, eq=False)
class Planted:
    """A picture of one field and where its field lies, px."""

    pixels: Pixels
    x: float
    y: float
    half_width: float
    half_height: float


def page(fundus: Fundus, ground: Colour) -> Planted:
    """The field alone on a page."""
    on_ground = fundus.on(ground)
    pixels = cv2.copyMakeBorder(on_ground.pixels, 60, 40, 30, 70, cv2.BORDER_CONSTANT, value=ground)
    return Planted(pixels, fundus.x + 30, fundus.y + 60, fundus.radius, fundus.radius)


def frame(fundus: Fundus, ground: Colour) -> Planted:
    """The file in a thin frame."""
    return Planted(framed(fundus.pixels, ground, 6), fundus.x + 6, fundus.y + 6, fundus.radius, fundus.radius)


def file_on_page(fundus: Fundus, ground: Colour) -> Planted:
    """The file, with its own dark surround, on a page."""
    return Planted(framed(fundus.pixels, ground, 60), fundus.x + 60, fundus.y + 60, fundus.radius, fundus.radius)


def screenshot(fundus: Fundus, ground: Colour) -> Planted:
    """The file in a viewer's window."""
    planted = file_on_page(fundus, ground)
    return Planted(with_bar(planted.pixels), planted.x, planted.y + 40, fundus.radius, fundus.radius)


def squashed(fundus: Fundus, ground: Colour) -> Planted:
    """The whole picture, on its ground, at three quarters of its width."""
    height, width = fundus.pixels.shape[:2]
    size = round(0.75 * width), height
    factor = size[0] / width
    pixels = cv2.resize(fundus.on(ground).pixels, size, interpolation=cv2.INTER_AREA)
    return Planted(pixels, fundus.x * factor, fundus.y, fundus.radius * factor, fundus.radius)


def small(fundus: Fundus, ground: Colour) -> Planted:
    """A field whose radius is a twelfth of the frame's longer side."""
    radius = 54.0
    tile = fundus.on(ground).crop(_TIGHT)
    factor = radius / fundus.radius
    tile = scaled(tile, height=tile.shape[0] * factor)
    pixels = np.full((480, 640, 3), ground, np.uint8)
    paste(pixels, tile, 300, 200)
    left, top = max(0, int(fundus.x - _TIGHT * fundus.radius)), max(0, int(fundus.y - _TIGHT * fundus.radius))
    return Planted(pixels, 300 + (fundus.x - left) * factor, 200 + (fundus.y - top) * factor, radius, radius)


SINGLE: dict[str, Callable[[Fundus, Colour], Planted]] = {
    "page": page,
    "frame": frame,
    "file on a page": file_on_page,
    "screenshot": screenshot,
    "squashed 4:3": squashed,
    "small": small,
}
