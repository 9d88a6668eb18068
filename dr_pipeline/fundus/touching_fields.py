"""Several fields of view that touch or overlap: one region whose outline is made of several arcs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.circle import circles_through
from dr_pipeline.fundus.ellipse import Ellipse, tolerance_px
from dr_pipeline.fundus.field_shape import Contour
from dr_pipeline.fundus.opencv import cv2

# Fields that touch: so much of each lies between its arcs; the region fills that part; this fraction of it is covered
# by no other; together they explain the region. The picture may be squashed: the arcs are of ellipses of one aspect.
# Their centres are this many radii apart.
_MIN_VISIBLE, _MIN_FILLED, _MIN_OWN, _MIN_EXPLAINED, _MAX_TOUCHING = 0.3, 0.93, 0.2, 0.93, 12
_MIN_APART = 0.5
_ASPECTS = (1.0, 0.75, 4 / 3, 2 / 3, 1.5, 0.5, 2.0)


def touching_fields(outline: Contour, region: NDArray[np.bool_], known: Sequence[Ellipse]) -> list[Ellipse]:
    """The fields of a region that several form together; empty if it is not made of several.

    Args:
        outline: Of the region.
        region: (height, width).
        known: The field that explains the region best, if any does.
    """
    height, width = region.shape
    points = outline[:, 0, :].astype(np.float64) + 0.5
    limit = tolerance_px(points[:, 0], points[:, 1])
    inside = (np.abs(points - [width / 2, height / 2]) < np.array([width / 2 - 1, height / 2 - 1])).all(axis=1)
    for aspect in [field.aspect for field in known] or _ASPECTS:
        fields = list(known)
        x, y = points[inside].T
        explained = np.zeros(region.shape, np.bool_)
        for field in fields:
            explained |= field.inside(region.shape, 1.02)
        for _ in range(_MAX_TOUCHING):
            rest = np.ones(len(x), np.bool_)
            for field in fields:
                rest &= field.distance(x, y) > 3 * limit
            x, y = x[rest], y[rest]
            for circle in circles_through(x / aspect, y, limit):
                shape = Ellipse(circle.x * aspect, circle.y, circle.radius * aspect, circle.radius)
                part = _visible_part(shape, x, y, limit, region.shape)
                if part is not None and _is_apart(shape, fields) and _is_another(part, region, explained):
                    fields.append(shape)
                    explained |= part
                    break
            else:
                break
        if len(fields) > 1 and np.count_nonzero(explained & region) >= _MIN_EXPLAINED * np.count_nonzero(region):
            return fields
    return []


def _visible_part(
    shape: Ellipse, x: NDArray[np.float64], y: NDArray[np.float64], limit: float, frame: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """The part of a field between its arcs: what is left of it where it was cut; None if that is but a slice."""
    on_rim = shape.distance(x, y) <= limit
    hull = cv2.convexHull(np.column_stack((x[on_rim], y[on_rim])).astype(np.int32))
    if cv2.contourArea(hull) < _MIN_VISIBLE * np.pi * shape.half_width * shape.half_height:
        return None
    part: NDArray[np.uint8] = cv2.fillConvexPoly(np.zeros(frame[:2], np.uint8), hull, 1)
    return part.view(np.bool_)


def _is_apart(shape: Ellipse, others: Sequence[Ellipse]) -> bool:
    """Whether the centres lie apart; the rim of one field under flare or in shadow has arcs about nearly one centre."""
    return all(
        np.hypot(shape.x - other.x, shape.y - other.y) >= _MIN_APART * max(shape.radius, other.radius)
        for other in others
    )


def _is_another(part: NDArray[np.bool_], region: NDArray[np.bool_], explained: NDArray[np.bool_]) -> bool:
    """Whether the region fills a field's visible part, and no field that was found before covers most of it."""
    area = np.count_nonzero(part)
    filled_area = np.count_nonzero(part & region)
    own = np.count_nonzero(part & region & ~explained)
    return bool(filled_area >= _MIN_FILLED * area and own >= _MIN_OWN * area)
