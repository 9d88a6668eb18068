"""Text over the rim is found; notches, markers, glare and a rim that is not quite round give no false alarm."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.rim_text import has_text_over_rim
from tests.factories.drawings import decode_jpeg, draw_fundus, jpeg

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
WIDTH, HEIGHT = 1500, 1000
DISC = Disc(750, 500, 420, CIRCLE)
FUNDUS = draw_fundus(WIDTH, HEIGHT, DISC.x, DISC.y, DISC.radius)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
COLOURS = (WHITE, (150, 150, 150), (90, 90, 90), (255, 255, 0), (0, 255, 0), (255, 0, 0), (0, 0, 255), (0, 255, 255))


def has_text(picture: Pixels, disc: Disc = DISC, quality: int = 85) -> bool:
    return has_text_over_rim(decode_jpeg(jpeg(picture, quality)), disc, 1)


def on_rim(
    text: str, angle: float, radii: float, size: int, ink: Colour, picture: Pixels = FUNDUS, label: bool = False
) -> Pixels:
    """The picture with one text centred at so many radii, in the face that OpenCV brings along."""
    coverage = np.zeros((3 * size, 3 * size * len(text), 3), np.uint8)
    cv2.putText(coverage, text, (size // 2, 2 * size), (255, 255, 255), cv2.FontFace("uni"), size, 400)
    rows, columns = np.nonzero(coverage[..., 0] > 50)
    drawn = coverage[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] / 255.0
    if label:
        drawn = np.pad(drawn, ((6, 6), (6, 6), (0, 0)))
    height, width = drawn.shape[:2]
    left = round(DISC.x + radii * DISC.radius * np.cos(angle) - width / 2)
    top = round(DISC.y + radii * DISC.radius * np.sin(angle) - height / 2)
    marked = picture.copy()
    under = marked[top : top + height, left : left + width]
    if label:
        under[:] = 255
    under[:] = under + (np.array(ink) - under) * drawn
    return marked


@pytest.mark.parametrize(
    "text", ["张", "名", "あ", "タ", "김", "Ж", "ب", "Ω", "g", "A", "7", "L", "王小明", "محمد", "OD"]
)
@pytest.mark.parametrize(("size", "ink"), [(16, WHITE), (30, (0, 0, 255)), (50, (150, 150, 150))])
@pytest.mark.parametrize(("angle", "radii"), [(0.4, 1.01), (2.6, 1.03)])
def test_one_sign_of_any_script_over_the_rim_is_found(text, size, ink, angle, radii):
    assert has_text(on_rim(text, angle, radii, size, ink))


@given(
    st.sampled_from("张あ김ЖبΩgARk258"),
    st.floats(0, 2 * np.pi),
    st.floats(1.005, 1.04),
    st.integers(16, 50),
    st.sampled_from(COLOURS[:2] + COLOURS[3:]),
)
@settings(max_examples=60, deadline=None)
def test_a_sign_over_the_rim_is_found_at_any_angle(text, angle, radii, size, ink):
    assert has_text(on_rim(text, angle, radii, size, ink))


@pytest.mark.parametrize("angle", [0.4, 2.6])
def test_dark_signs_on_a_white_label_or_page_are_found(angle):
    assert has_text(on_rim("R", angle, 1.02, 30, BLACK, label=True))
    page = FUNDUS.copy()
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    page[np.hypot(xs - DISC.x, ys - DISC.y) > DISC.radius] = 255
    assert not has_text(page)
    for ink in (BLACK, (0, 0, 255), (200, 0, 0)):
        assert has_text(on_rim("张", angle, 1.03, 40, ink, page))


def test_it_is_found_in_a_squashed_and_in_a_larger_picture():
    marked = on_rim("R", 0.4, 1.02, 40, WHITE)
    squashed = cv2.resize(marked, (1000, 1000), interpolation=cv2.INTER_AREA)
    assert has_text(squashed, Disc(500, 500, 420, CIRCLE, aspect=2 / 3))
    large = cv2.resize(marked, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert has_text_over_rim(large, DISC.scaled(3), 3)


@pytest.mark.parametrize("quality", [95, 60])
def test_a_picture_without_text_has_none(quality):
    assert not has_text(FUNDUS, quality=quality)


@pytest.mark.parametrize("factor", [0.99, 1.0, 1.01])
def test_a_disc_found_a_little_too_small_or_large_gives_no_false_alarm(factor):
    assert not has_text(FUNDUS, dataclasses.replace(DISC, radius=DISC.radius * factor))


@pytest.mark.parametrize("angle", [0.3, 2.2, 4.0])
@pytest.mark.parametrize("count", [1, 2])
def test_notches_of_tissue_or_ground_are_no_text(angle, count):
    """Teeth and bumps, as cameras mark which way is up."""
    for colour, outwards in (((165, 78, 33), 0.05), ((2, 2, 2), -0.05)):
        picture = FUNDUS.copy()
        for number in range(count):
            middle = angle + 0.09 * number
            corners = [(1.0, middle - 0.04), (1 + outwards, middle), (1.0, middle + 0.04)]
            points = [[DISC.x + r * DISC.radius * np.cos(a), DISC.y + r * DISC.radius * np.sin(a)] for r, a in corners]
            cv2.fillConvexPoly(picture, np.rint(points).astype(np.int32), colour)
        assert not has_text(picture)


@pytest.mark.parametrize("angle", [0.3, 2.2])
@pytest.mark.parametrize("corners", [3, 4, 24])
def test_a_plain_white_marker_is_no_text(angle, corners):
    centre = np.array([DISC.x, DISC.y]) + 1.02 * DISC.radius * np.array([np.cos(angle), np.sin(angle)])
    turns = angle + 2 * np.pi * np.arange(corners) / corners
    marker = centre + 14 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    assert not has_text(cv2.fillConvexPoly(FUNDUS.copy(), np.rint(marker).astype(np.int32), WHITE, cv2.LINE_AA))


def test_glare_and_a_coloured_halo_are_no_text():
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    beyond = np.hypot(xs - DISC.x, ys - DISC.y) / DISC.radius - 1
    glare = np.exp(-((xs - 1130) ** 2 + (ys - 400) ** 2) / 50**2)[..., None] * np.array([120.0, 160.0, 220.0])
    halo = np.where(beyond > 0, np.exp(-beyond / 0.05), 0)[..., None] * np.array([20.0, 40.0, 90.0])
    picture = np.clip(FUNDUS + glare + halo, 0, 255).astype(np.uint8)
    assert not has_text(picture)
    assert has_text(on_rim("R", 2.6, 1.02, 40, WHITE, picture))


@given(st.integers(1, 300), st.integers(1, 300), st.floats(-50, 400), st.floats(0.5, 400), st.floats(0.6, 1.6))
@settings(max_examples=40, deadline=None)
def test_any_size_gets_an_answer(width, height, x, radius, aspect):
    disc = Disc(x, height / 2, radius, CIRCLE, aspect=aspect)
    assert has_text_over_rim(np.zeros((height, width, 3), np.uint8), disc, 1) is False


def test_a_ring_outside_the_frame_is_no_text():
    assert not has_text(np.ascontiguousarray(FUNDUS[300:700, 550:950]), Disc(200, 200, 420, CIRCLE))
