"""Components of known circles and squares: number, place, area, diameters and outline."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.components import find_components


def plane_with(*circles: tuple[float, float, float]) -> np.ndarray:
    """(200, 240): 0.9 within each circle of x, y and radius, else 0.1."""
    rows, columns = np.mgrid[0:200, 0:240] + 0.5
    inside = np.zeros((200, 240), np.bool_)
    for x, y, radius in circles:
        inside |= np.hypot(columns - x, rows - y) <= radius
    return np.where(inside, 0.9, 0.1).astype(np.float32)


def test_circles_are_counted_and_measured() -> None:
    first, second = find_components(plane_with((60, 50, 20), (150.5, 120.5, 8)), threshold=0.5, min_pixels=1)
    assert (first.x, first.y) == (pytest.approx(60, abs=0.01), pytest.approx(50, abs=0.01))
    assert (second.x, second.y) == (pytest.approx(150.5, abs=0.01), pytest.approx(120.5, abs=0.01))
    assert first.diameter == pytest.approx(40, rel=0.01)
    assert second.longest == pytest.approx(16, abs=1)
    assert first.probability == pytest.approx(0.9)
    assert cv2.contourArea(first.outline.astype(np.float32)) == pytest.approx(first.area, rel=0.06)
    assert np.hypot(*(first.outline - (60, 50)).T) == pytest.approx(20, abs=0.8)


def test_the_longest_diameter_of_a_line_is_its_length() -> None:
    plane = np.zeros((50, 60), np.float32)
    plane[20:22, 10:40] = 1
    (line,) = find_components(plane, threshold=0.5, min_pixels=1)
    assert line.area == 60
    assert line.longest == pytest.approx(30, abs=0.5)
    assert (line.outline.min(axis=0), line.outline.max(axis=0)) == (
        pytest.approx([10, 20], abs=0.2),
        pytest.approx([40, 22], abs=0.2),
    )


def test_small_ones_are_left_out_and_corners_connect() -> None:
    plane = np.zeros((20, 20), np.float32)
    plane[2, 2] = plane[3, 3] = plane[10, 10] = 1
    assert [one.area for one in find_components(plane, threshold=1.0, min_pixels=1)] == [2, 1]
    assert [one.area for one in find_components(plane, threshold=1.0, min_pixels=2)] == [2]
    assert find_components(plane * 0.4, threshold=0.5, min_pixels=1) == []


@settings(max_examples=20)
@given(places=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 7)), max_size=20), threshold=st.floats(0.2, 0.8))
def test_dots_apart_are_counted_one_by_one_and_their_areas_add_up(
    places: set[tuple[int, int]], threshold: float
) -> None:
    plane = plane_with(*((20 * column + 15, 20 * row + 15, 4) for column, row in places))
    found = find_components(plane, threshold=threshold, min_pixels=1)
    assert len(found) == len(places)
    assert sum(component.area for component in found) == (plane >= threshold).sum()


def test_a_peak_that_equals_the_least_one_counts() -> None:
    plane = np.zeros((20, 20), np.float32)
    plane[5:9, 5:9] = 0.45  # which is a little less in 32 bits
    assert len(find_components(plane, threshold=0.45, min_pixels=1, min_peak=0.45)) == 1
    assert find_components(plane, threshold=0.45, min_pixels=1, min_peak=0.5) == []
