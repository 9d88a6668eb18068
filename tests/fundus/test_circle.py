"""The circle fit tolerates outliers, and refuses points that lie on no circle."""

import numpy as np

from dr_pipeline.fundus.circle import fit_circle


def test_the_circle_fit_ignores_outliers_and_refuses_a_line():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    random = np.random.default_rng(3)
    x = np.concatenate([50 + 30 * np.cos(angle), random.uniform(0, 100, 90)])
    y = np.concatenate([40 + 30 * np.sin(angle), random.uniform(0, 100, 90)])
    circle = fit_circle(x, y)
    assert circle is not None
    assert abs(circle.x - 50) < 0.2
    assert abs(circle.y - 40) < 0.2
    assert abs(circle.radius - 30) < 0.2
    assert fit_circle(np.arange(100.0), 3 * np.arange(100.0)) is None
    assert fit_circle(x[:10], y[:10]) is None
