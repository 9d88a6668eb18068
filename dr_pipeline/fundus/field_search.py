"""Searches a picture for fields of view on any flat ground: pages, viewers, contact sheets, touching fields.

The outer frame is stripped. What is left is compared with the flat colours along its border: they are the ground. Each
region on it is a field if it has a field's shape; a rectangle is a picture in the picture and is searched in turn; an
outline made of several arcs is several fields that touch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dr_pipeline.fundus.ellipse import Ellipse
from dr_pipeline.fundus.field_shape import Contour, Edges, filled, fit_field, regions
from dr_pipeline.fundus.flat_ground import KEPT_LINES, TISSUE_RED_OVER_GREEN, Pixels, content_box, foreground, trimmed
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.touching_fields import touching_fields

_MAX_DEPTH = 4
_MAX_REGIONS = 30
# Sides of a region or picture below this are letters, icons and specks.
_MIN_SIDE_PX = 14
# A region fills its bounding box to this fraction: then it is a rectangle. (A circle: 0.785; cut at both sides: 0.93.)
_RECTANGLE = 0.95
_MIN_OVERLAP = 0.85
# Of the picture: a region that may be several fields. Of the largest field: what lacks a rim counts as another only if
# it is this large.
_MIN_LARGE_AREA, _MIN_AREA_WITHOUT_RIM = 0.02, 0.2
_BLANK_DEVIATION = 1.5
# Tissue is shaded: brightness deviates from its mean by this fraction, and not more than this share of the pixels is
# within this fraction of one level. A sign has few tones.
_MIN_DEVIATION, _ONE_TONE, _MAX_ONE_TONE = 0.03, 0.03, 0.5
# A seam: levels differ across one line by at least this, for half of its length, and so many times as elsewhere.
_SEAM_LEVELS, _SEAM_RATIO = 6.0, 4.0


@dataclass(frozen=True)
class Found:
    """A field of view, or a part of the picture that may show one.

    Attributes:
        shape: In px of the searched picture.
        has_rim: Whether the region has a field's shape; else `shape` is inscribed in the region's bounding box.
        is_tissue: Whether the region shows tissue beyond doubt.
    """

    shape: Ellipse
    has_rim: bool = True
    is_tissue: bool = True

    @property
    def area(self) -> float:
        """Half width times half height, px²."""
        return self.shape.half_width * self.shape.half_height


def search_fields(picture: Pixels) -> list[Found]:
    """The fields of view in a picture, those with a rim first, then the largest first; empty if there is none.

    Args:
        picture: (height, width, 3) RGB, about 640 px.
    """
    found = sorted(_search(picture, 0), key=lambda field: (field.has_rim, field.area), reverse=True)
    if not any(field.is_tissue for field in found):
        return []
    return [field for field in found if field.has_rim or field.area >= _MIN_AREA_WITHOUT_RIM * found[0].area]


def _search(picture: Pixels, depth: int) -> list[Found]:
    x, y, width, height = content_box(picture)
    view = picture[y : y + height, x : x + width]
    if min(width, height) < _MIN_SIDE_PX or depth > _MAX_DEPTH:
        return []
    mask = foreground(view)
    if mask is None and (mask := foreground(trimmed(view))) is not None:
        x, y, view = x + KEPT_LINES, y + KEPT_LINES, trimmed(view)
    found = []
    if mask is not None:
        found = [field for outline in regions(mask)[:_MAX_REGIONS] for field in _in_region(view, outline, depth)]
    if not any(field.has_rim for field in found):
        found = (
            _side_by_side(view, depth)
            or found
            or (_whole(view, is_tissue=True) if _is_tissue(view.reshape(-1, 3)) else [])
        )
    return [_moved(field, x, y) for field in found]


def _in_region(view: Pixels, outline: Contour, depth: int) -> Iterator[Found]:
    x, y, width, height = cv2.boundingRect(outline)
    if min(width, height) < _MIN_SIDE_PX:
        return
    inner, area = view[y : y + height, x : x + width], cv2.contourArea(outline)
    if area >= _RECTANGLE * (width - 1) * (height - 1):
        if inner.shape == view.shape:  # the outline of a thin frame that a resize has blended with the picture
            x, y, inner = KEPT_LINES, KEPT_LINES, trimmed(view)
        yield from (_moved(field, x, y) for field in _search(inner, depth + 1))
        return
    region = filled(outline, view.shape)
    field = fit_field(region)
    known = [field] if field is not None else []
    is_large = area >= _MIN_LARGE_AREA * region.size
    fits = field is not None and Edges.of(region).overlap(field) >= _MIN_OVERLAP
    shapes = (touching_fields(outline, region, known if fits else []) if is_large else []) or known
    yield from (Found(shape) for shape in shapes if may_be_retina(view, shape))
    if not shapes and _is_tissue(view[region]):
        yield from (_moved(field, x, y) for field in _whole(inner, is_tissue=True))


def _side_by_side(view: Pixels, depth: int) -> list[Found]:
    """The parts into which a seam or a gutter divides a picture; empty if there is no such line.

    One part of tissue is enough: beside it, the other is a photograph too, however dark or hazy.
    """
    for axis in (1, 0):
        line = _dividing_line(view, axis)
        if line is None:
            continue
        parts = (view[:, :line], view[:, line:]) if axis == 1 else (view[:line], view[line:])
        found = [_search(part, depth + 1) for part in parts]
        if any(field.is_tissue for fields in found for field in fields):
            found = [
                fields or (_whole(part, is_tissue=False) if part.std(axis=(0, 1)).max() >= _BLANK_DEVIATION else [])
                for fields, part in zip(found, parts, strict=True)
            ]
        x, y = (line, 0) if axis == 1 else (0, line)
        return found[0] + [_moved(field, x, y) for field in found[1]]
    return []


def _dividing_line(view: Pixels, axis: int) -> int | None:
    """The column (axis 1) or row (axis 0) at which one picture ends and the next begins; None if there is none."""
    if view.shape[axis] < 4 * _MIN_SIDE_PX:
        return None
    # Two lines apart, because resizing blends the line in the middle.
    first, second = (view[:, :-2], view[:, 2:]) if axis == 1 else (view[:-2], view[2:])
    steps = np.median(cv2.absdiff(first, second).max(axis=2), axis=1 - axis)
    steps[:_MIN_SIDE_PX] = steps[-_MIN_SIDE_PX:] = 0
    best = int(steps.argmax())
    return best + 1 if steps[best] >= max(_SEAM_LEVELS, _SEAM_RATIO * np.median(steps)) else None


def _whole(view: Pixels, *, is_tissue: bool) -> list[Found]:
    """A picture, or a region's bounding box, that has no rim."""
    height, width = view.shape[:2]
    shape = Ellipse(width / 2, height / 2, width / 2, height / 2)
    return [Found(shape, has_rim=False, is_tissue=is_tissue)]


def may_be_retina(view: Pixels, shape: Ellipse) -> bool:
    """Whether the inside of a field's shape can be tissue: not of one plain colour, not blue or green."""
    pixels = view[shape.inside(view.shape, 0.85)]
    if not len(pixels):
        return False
    red, green, blue = pixels.mean(axis=0)
    return bool(_varies(pixels) and green <= 1.15 * red and blue <= 1.1 * red)


def _is_tissue(pixels: Pixels) -> bool:
    """Whether (N, 3) pixels are tissue even without a rim: red above green nearly everywhere, and not of one colour."""
    red, green, blue = (pixels[:, channel].astype(np.float32) for channel in range(3))
    ordered = np.mean((red > green) & (green >= 0.9 * blue))
    return bool(red.mean() >= TISSUE_RED_OVER_GREEN * green.mean() and ordered >= 0.8 and _varies(pixels))


def _varies(pixels: Pixels) -> bool:
    """Whether (N, 3) pixels have continuous tones, not one colour or the few of a drawing."""
    brightness = pixels.mean(axis=1)
    mean = brightness.mean()
    most_frequent = np.bincount(brightness.astype(np.int64)).argmax()
    share = np.mean(np.abs(brightness - most_frequent) <= max(1.0, _ONE_TONE * mean))
    return bool(brightness.std() >= _MIN_DEVIATION * (mean + 8) and share <= _MAX_ONE_TONE)


def _moved(field: Found, x: int, y: int) -> Found:
    return replace(field, shape=replace(field.shape, x=field.shape.x + x, y=field.shape.y + y))
