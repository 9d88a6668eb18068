"""The ellipse fit finds squashed circles, cut ones too, and does not take a cut circle for an ellipse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.fundus.ellipse import Ellipse, fit_ellipse


def rim(ellipse: Ellipse, *, cut: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Points on the rim, without those beyond `cut` half heights above and below the centre."""
    angle = np.linspace(0, 2 * np.pi, 600, endpoint=False)
    angle = angle[np.abs(np.sin(angle)) <= cut]
    noise = np.random.default_rng(5).normal(0, 0.2, (2, len(angle)))
    return (
        ellipse.x + ellipse.half_width * np.cos(angle) + noise[0],
        ellipse.y + ellipse.half_height * np.sin(angle) + noise[1],
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(0.45, 2.2), st.floats(0.6, 1.0))
def test_a_squashed_circle_is_measured_also_where_it_is_cut(aspect: float, cut: float) -> None:
    made = Ellipse(310.0, 220.0, 200.0 * aspect**0.5, 200.0 / aspect**0.5)
    fitted = fit_ellipse(*rim(made, cut=cut))
    assert fitted is not None
    assert fitted.aspect == pytest.approx(aspect, rel=0.01)
    assert fitted.x == pytest.approx(made.x, abs=1)
    assert fitted.y == pytest.approx(made.y, abs=1)


def test_outliers_are_ignored_and_what_is_no_ellipse_is_refused() -> None:
    made, random = Ellipse(100.0, 90.0, 60.0, 80.0), np.random.default_rng(2)
    x, y = rim(made)
    x, y = np.r_[x, random.uniform(30, 170, 200)], np.r_[y, random.uniform(0, 180, 200)]
    fitted = fit_ellipse(x, y)
    assert fitted is not None
    assert fitted.aspect == pytest.approx(0.75, rel=0.01)
    assert fit_ellipse(np.arange(200.0), 3 * np.arange(200.0)) is None
    assert fit_ellipse(x[:10], y[:10]) is None
    few = np.abs(np.arctan2(y - 90, x - 100)) < 0.6  # an arc of 70°: too little of the rim
    assert fit_ellipse(x[few], y[few]) is None


def test_inside_distance_and_agreement() -> None:
    ellipse = Ellipse(50.0, 40.0, 30.0, 15.0)
    inside = ellipse.inside((80, 100))
    assert np.count_nonzero(inside) == pytest.approx(np.pi * 30 * 15, rel=0.01)
    assert np.flatnonzero(inside.any(axis=0))[[0, -1]].tolist() == [20, 79]
    assert np.flatnonzero(inside.any(axis=1))[[0, -1]].tolist() == [25, 54]
    assert ellipse.distance(np.array([82.0, 50.0]), np.array([40.0, 57.0])) == pytest.approx([2, 2])
    assert ellipse.agreement(*rim(ellipse)) > 0.9
    assert Ellipse(50.0, 40.0, 25.0, 25.0).agreement(*rim(ellipse)) < 0.3
