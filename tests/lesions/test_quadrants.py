"""Quadrants of known points, for both eyes and a tilted axis."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.lesions.quadrants import QUADRANTS, Quadrant, quadrants_of

DISC = (500.0, 400.0)


def test_both_eyes() -> None:
    above_right, below_left = np.array([[600.0, 300.0]]), np.array([[400.0, 500.0]])
    temple_right, temple_left = (800.0, 400.0), (200.0, 400.0)
    assert quadrants_of(above_right, DISC, temple_right) == [Quadrant.SUPERIOR_TEMPORAL]
    assert quadrants_of(above_right, DISC, temple_left) == [Quadrant.SUPERIOR_NASAL]
    assert quadrants_of(below_left, DISC, temple_right) == [Quadrant.INFERIOR_NASAL]
    assert quadrants_of(below_left, DISC, temple_left) == [Quadrant.INFERIOR_TEMPORAL]


@given(tilt=st.floats(-80, 80), mirrored=st.booleans(), angle=st.integers(0, 3), distance=st.floats(1, 400))
def test_the_axis_from_disc_to_fovea_is_the_horizontal(
    tilt: float, mirrored: bool, angle: int, distance: float
) -> None:
    def turned(x: float, y: float) -> tuple[float, float]:
        radians = np.radians(tilt)
        x, y = x * np.cos(radians) - y * np.sin(radians), x * np.sin(radians) + y * np.cos(radians)
        return DISC[0] + (-x if mirrored else x), DISC[1] + y

    diagonal = np.radians(45 + 90 * angle)
    point = turned(distance * np.cos(diagonal), -distance * np.sin(diagonal))
    (found,) = quadrants_of(np.array([point]), DISC, turned(300, 0))
    expected = (
        Quadrant.SUPERIOR_TEMPORAL, Quadrant.SUPERIOR_NASAL, Quadrant.INFERIOR_NASAL, Quadrant.INFERIOR_TEMPORAL,
    )  # fmt: skip
    assert found is expected[angle]
    assert set(expected) == set(QUADRANTS)
