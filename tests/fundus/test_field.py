"""The disc is located wherever it lies in the frame; without a circle the fallback is declared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.fundus.field import BOUNDING_BOX, CIRCLE, FULL_FRAME, Disc, find_disc
from dr_pipeline.fundus.opencv import cv2
from tests.factories.drawings import decode_jpeg, draw_fundus, jpeg

pytestmark = pytest.mark.slow

# name: width, height, x, y, radius
LAYOUTS = {
    "whole": (900, 700, 460, 345, 300),
    "cut at top and bottom, as IDRiD": (1072, 712, 495, 355, 427),
    "cut at the bottom": (800, 600, 400, 340, 310),
    "cut at the left": (700, 700, 300, 350, 330),
    "square crop that the disc just fills": (600, 600, 300, 300, 300),
    "square crop, corners only": (600, 600, 300, 300, 335),
    "only arcs left and right": (1000, 420, 500, 210, 440),
    "small in a wide frame": (1200, 800, 330, 420, 200),
    "large": (2400, 1900, 1190, 960, 900),
}


def close(disc: Disc, x: float, y: float, radius: float, tolerance: float = 0.01) -> bool:
    return max(abs(disc.x - x), abs(disc.y - y), abs(disc.radius - radius)) <= tolerance * radius


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("ground", [0, 14])
def test_the_disc_is_located_to_one_percent(name, ground):
    width, height, x, y, radius = LAYOUTS[name]
    disc = find_disc(draw_fundus(width, height, x, y, radius, ground=ground))
    assert disc.fit == CIRCLE
    assert close(disc, x, y, radius), disc


@settings(max_examples=25, deadline=None)
@given(st.integers(250, 420), st.floats(-0.25, 0.25), st.floats(-0.25, 0.25), st.integers(0, 50))
def test_the_disc_is_located_anywhere(radius, right, down, seed):
    x, y = 450 + right * radius, 350 + down * radius
    disc = find_disc(draw_fundus(900, 700, x, y, radius, seed=seed))
    assert disc.fit == CIRCLE
    assert close(disc, x, y, radius), disc


def test_a_notch_a_date_stamp_and_jpeg_noise_do_not_move_it():
    picture = draw_fundus(1000, 800, 500, 400, 350, ground=6)
    cv2.circle(picture, (745, 155), 30, (190, 90, 40), -1)  # the orientation notch
    cv2.putText(picture, "2019-03-02", (20, 780), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
    disc = find_disc(decode_jpeg(jpeg(picture, quality=40)))
    assert disc.fit == CIRCLE
    assert close(disc, 500, 400, 350), disc


def test_a_dark_half_does_not_move_it():
    picture = draw_fundus(1000, 800, 500, 400, 350)
    shade = np.linspace(1.0, 0.2, 1000)[None, :, None]
    disc = find_disc((picture * shade).astype(np.uint8))
    assert close(disc, 500, 400, 350, tolerance=0.03), disc


def test_without_a_circle_the_fallbacks_are_declared():
    assert find_disc(np.full((300, 400, 3), 200, np.uint8)) == Disc(200, 150, 200, FULL_FRAME)
    assert find_disc(np.zeros((300, 400, 3), np.uint8)) == Disc(200, 150, 200, FULL_FRAME)
    box = np.zeros((400, 600, 3), np.uint8)
    box[100:300, 150:450] = 180
    assert find_disc(box) == Disc(300, 200, 150, BOUNDING_BOX, aspect=1.5)
    inside = draw_fundus(1200, 1200, 600, 600, 590)[400:800, 400:800]
    assert find_disc(inside).fit == FULL_FRAME


@settings(max_examples=40, deadline=None)
@given(st.integers(64, 200), st.integers(64, 200), st.integers(0, 10_000))
def test_it_never_fails(width, height, seed):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    disc = find_disc(picture)
    assert disc.radius > 0
    assert disc.fit in (CIRCLE, BOUNDING_BOX, FULL_FRAME)


@pytest.mark.parametrize("squash", [1.0, 1.3])
def test_two_cut_fields_that_touch_are_not_one_that_is_cut_much_more(squash):
    # 600 px are visible of a field of 700 px, twice, as a re-upload crops and joins them.
    field = draw_fundus(600, round(600 * squash), 300, round(300 * squash), 350)
    assert find_disc(np.hstack([field, field[:, ::-1]])).fault


def test_a_field_of_a_wide_frame_is_one_field():
    # It touches both sides of 16 : 9 and is cut at the top and at the bottom.
    assert find_disc(draw_fundus(1280, 720, 640, 360, 640)).fault == ""
