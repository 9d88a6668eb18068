"""A region's shape is a circle or an ellipse, or neither; where a bar cut it is no edge."""

import numpy as np
import pytest

from dr_pipeline.fundus.ellipse import Ellipse
from dr_pipeline.fundus.field_shape import Edges, filled, fit_field, regions
from dr_pipeline.fundus.opencv import cv2

CIRCLE = Ellipse(300.0, 240.0, 200.0, 200.0)


def test_regions_are_sorted_and_filled() -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[10:30, 10:30], mask[20:80, 100:180], mask[40:50, 120:140] = 255, 255, 0
    outlines = regions(mask)
    assert [np.count_nonzero(filled(outline, mask.shape)) for outline in outlines] == [60 * 80, 20 * 20]


# Of a field that was cut on both sides a few per cent of squash do not show.
@pytest.mark.parametrize(
    ("aspect", "bar_px"),
    [
        (0.664, 0),
        (0.75, 0),
        (0.94, 0),
        (1.0, 0),
        (1.07, 0),
        (1.333, 0),
        (0.664, 90),
        (0.75, 90),
        (1.0, 90),
        (1.333, 90),
    ],
)
def test_a_field_is_fitted_whole_or_cut_by_bars(aspect: float, bar_px: int) -> None:
    made = Ellipse(300.0, 240.0, 200.0 * min(1, aspect), 200.0 / max(1, aspect))
    region = made.inside((480, 600))
    cut = max(0, int(240 - made.half_height)) + bar_px
    region[:cut], region[480 - cut :] = False, False
    field = fit_field(region)
    assert field is not None
    assert field.aspect == pytest.approx(aspect, rel=0.01)
    assert field.half_height == pytest.approx(made.half_height, rel=0.02)
    assert (field.aspect == 1) == (aspect == 1)


def test_a_cut_side_is_no_edge() -> None:
    region = CIRCLE.inside((480, 600))
    whole = Edges.of(region)
    assert whole.box == (0, 0, 600, 480)
    region[:120] = False
    cut = Edges.of(region)
    assert cut.box == (0, 121, 600, 480)
    assert not np.any(cut.y < 120)
    assert cut.overlap(CIRCLE) > 0.99


def test_a_shadow_at_the_rim_does_not_make_a_circle_an_ellipse() -> None:
    region = CIRCLE.inside((480, 600))
    cv2.ellipse(region.view(np.uint8), (120, 240), (60, 150), 0, 0, 360, 0, cv2.FILLED)
    cv2.ellipse(region.view(np.uint8), (480, 330), (50, 90), 20, 0, 360, 0, cv2.FILLED)
    field = fit_field(region)
    assert field is not None
    assert field.aspect == 1
    assert field.radius == pytest.approx(200, rel=0.01)


def test_a_rectangle_and_a_triangle_are_no_field() -> None:
    region = np.zeros((480, 600), np.bool_)
    region[100:300, 100:500] = True
    assert fit_field(region) is None
    triangle = cv2.fillConvexPoly(np.zeros((480, 600), np.uint8), np.array([[50, 400], [300, 50], [550, 400]]), 1)
    assert fit_field(triangle.view(np.bool_)) is None
