"""A place on the canvas is found again in the photograph's own pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.fundus.canvas import Window, disc_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.registration import map_in_original, points_in_original
from tests.factories.drawings import draw_fundus, jpeg

WIDTH, HEIGHT, RADIUS = 4288, 2848, 1700  # IDRiD's sides; the field is cut above and below


@pytest.fixture(scope="module")
def fundus() -> np.ndarray:
    quarter = draw_fundus(WIDTH // 4, HEIGHT // 4, 2130.4 / 4, 1420.7 / 4, RADIUS / 4)
    return np.asarray(cv2.resize(quarter, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR))


def changed(fundus: np.ndarray, path: PixelPath, dot: tuple[float, float]) -> tuple[np.ndarray, Window]:
    """Where the canvas of the photograph with a dot differs from the one without, and what the canvas shows."""
    planted = fundus.copy()
    cv2.circle(planted, (round(dot[0] * 16 - 8), round(dot[1] * 16 - 8)), 40 * 16, (20, 20, 220), -1, cv2.LINE_AA, 4)
    before, after = (path.process(jpeg(pixels), find_text=False) for pixels in (fundus, planted))
    difference = np.abs(after.canvas.astype(np.float32) - before.canvas).sum(axis=2)
    return np.where(difference > 30, difference, 0), after.window


@pytest.mark.parametrize(("canvas_px", "dot"), [(512, (1201.3, 700.9)), (256, (3100.2, 1900.4))])
def test_a_dot_in_a_photograph_of_4288_px_is_found_again_within_two_pixels(
    fundus: np.ndarray, canvas_px: int, dot: tuple[float, float]
) -> None:
    difference, window = changed(fundus, PixelPath(canvas_px), dot)
    rows, columns = np.indices(difference.shape) + 0.5
    centre = np.array([(columns * difference).sum(), (rows * difference).sum()]) / difference.sum()
    assert points_in_original(centre, window, canvas_px) == pytest.approx(dot, abs=2)
    found = map_in_original(difference, window, WIDTH, HEIGHT)
    across, down = found.sum(axis=0), found.sum(axis=1)
    middle = (across @ np.arange(WIDTH) / across.sum() + 0.5, down @ np.arange(HEIGHT) / down.sum() + 0.5)
    assert middle == pytest.approx(dot, abs=2)


def test_a_squashed_photograph_has_its_own_scale_in_each_direction() -> None:
    round_one = draw_fundus(1500, 1100, 750, 550, 500)
    squashed = cv2.resize(round_one, (1500, 825), interpolation=cv2.INTER_AREA)
    photograph = PixelPath(256).process(jpeg(squashed), find_text=False)
    assert photograph.aspect_restored
    window = photograph.window
    assert window.width / window.height == pytest.approx(4 / 3, rel=0.02)
    middle = points_in_original(np.array([128.0, 128.0]), window, 256)
    assert middle == pytest.approx((750, 412.5), abs=4)


@given(
    window=st.builds(
        Window,
        st.floats(-500, 500),
        st.floats(-500, 500),
        st.floats(100, 4000),
        st.floats(100, 4000),
    ),
    points=st.lists(st.tuples(st.floats(0, 64), st.floats(0, 64)), min_size=1, max_size=5),
)
def test_points_keep_their_place_in_the_window(window: Window, points: list[tuple[float, float]]) -> None:
    found = points_in_original(np.array(points), window, 64)
    back = (found - [window.left, window.top]) / [window.width, window.height] * 64
    assert back == pytest.approx(np.array(points), abs=1e-6)


def test_a_map_is_zero_outside_the_disc_and_keeps_its_values_inside() -> None:
    window = Window(10, 20, 128, 128)
    found = map_in_original(np.full((64, 64), 3, np.float32), window, 200, 180)
    assert found.shape == (180, 200)
    assert found[20 + 64, 10 + 64] == pytest.approx(3)
    assert found[:18].max() == found[:, :8].max() == found[22, 12] == 0
    assert (found > 1.5).sum() == pytest.approx(4 * (disc_mask(64) > 0).sum(), rel=0.02)
