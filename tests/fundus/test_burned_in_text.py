"""Text beside the disc is detected, in every script; notches, bars, halos and noise give no false alarm."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.quality_defects import burn_in
from dr_pipeline.fundus.burned_in_text import has_annotation
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import CIRCLE, FULL_FRAME, Disc, find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.cohort import draw_cohort
from dr_pipeline.intake.phantom.photograph import render
from tests.factories.drawings import decode_jpeg, draw_fundus, jpeg

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
WIDTH, HEIGHT = 1500, 1000
DISC = Disc(750, 500, 470, CIRCLE)
WHITE, BLACK, BLUE = (255, 255, 255), (0, 0, 0), (0, 0, 255)
FUNDUS = draw_fundus(WIDTH, HEIGHT, DISC.x, DISC.y, DISC.radius)


def written(at: tuple[int, int], text: str = "DOE JANE 1961", level: int = 200) -> np.ndarray:
    picture = FUNDUS.copy()
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (level,) * 3, 2, cv2.LINE_AA)
    return decode_jpeg(jpeg(picture, 85))


@pytest.mark.parametrize("at", [(10, 30), (1270, 30), (10, 985), (1270, 985)])
def test_text_in_each_corner_is_found(at):
    assert has_annotation(written(at), DISC)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_text_of_a_turned_picture_is_found(turns):
    turned = np.ascontiguousarray(np.rot90(written((10, 30)), turns))
    assert has_annotation(turned, find_disc(turned))


def test_a_picture_without_text_has_none():
    assert not has_annotation(FUNDUS, DISC)
    assert not has_annotation(decode_jpeg(jpeg(FUNDUS, 60)), DISC)


def test_text_on_the_disc_is_ignored():
    assert not has_annotation(written((600, 500)), DISC)


def test_without_a_circle_the_answer_is_no():
    assert not has_annotation(written((10, 30)), dataclasses.replace(DISC, fit=FULL_FRAME))


def test_a_disc_that_fills_the_frame_leaves_no_room():
    filled = FUNDUS[300:700, 550:950]
    assert not has_annotation(np.ascontiguousarray(filled), Disc(200, 200, 470, CIRCLE))


def test_noise_a_frame_a_halo_and_marks_are_no_text():
    picture = FUNDUS.astype(np.float32)
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    beyond = np.hypot(xs - DISC.x, ys - DISC.y) / DISC.radius - 1
    halo = np.where(beyond > 0, 90 * np.exp(-beyond / 0.1), 0)
    noise = np.random.default_rng(0).normal(0, 4, picture.shape)
    picture = np.clip(picture + halo[..., None] + noise, 0, 255).astype(np.uint8)
    cv2.rectangle(picture, (3, 3), (WIDTH - 4, HEIGHT - 4), (180, 180, 180), 2)
    cv2.circle(picture, (1240, 330), 16, (200, 90, 40), -1)  # a notch's bump at the rim
    assert not has_annotation(decode_jpeg(jpeg(picture, 80)), DISC)
    cv2.putText(picture, "R", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (220, 220, 220), 3)
    assert has_annotation(decode_jpeg(jpeg(picture, 80)), DISC)


def sign(text: str, at: tuple[int, int], size: int = 30, ink: Colour = WHITE, turns: int = 0, picture=FUNDUS) -> Pixels:
    """The fundus with one text, its lower left corner at (x, y), in the face that OpenCV brings along."""
    height, width = 3 * size, 3 * size * len(text)
    coverage = np.zeros((height, width, 3), np.uint8)
    cv2.putText(coverage, text, (size // 2, 2 * size), (255, 255, 255), cv2.FontFace("uni"), size, 400)
    rows, columns = np.nonzero(coverage[..., 0] > 50)
    drawn = np.rot90(coverage[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] / 255.0, turns)
    marked = picture.copy()
    under = marked[at[1] - drawn.shape[0] : at[1], at[0] : at[0] + drawn.shape[1]]
    under[:] = under + (np.array(ink) - under) * drawn
    return decode_jpeg(jpeg(marked, 85))


@pytest.mark.parametrize(
    "text", ["张", "名", "あ", "タ", "김", "Ж", "ب", "Ω", "g", "A", "7", "L", "王小明", "محمد", "Петров"]
)
@pytest.mark.parametrize(("size", "ink"), [(14, WHITE), (40, BLUE), (110, (90, 90, 90))])
def test_one_sign_of_any_script_size_and_colour_is_found(text, size, ink):
    assert has_annotation(sign(text[: 1 if size > 100 else None], (20, 200), size, ink), DISC)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_sign_is_found(turns):
    assert has_annotation(sign("陈", (1380, 940), turns=turns), DISC)


@pytest.mark.parametrize("text", ["张", "R", "Ж", "李秀英"])
def test_dark_signs_on_a_white_label_or_page_are_found(text):
    label = FUNDUS.copy()
    label[20:140, 10:150] = 255
    assert not has_annotation(decode_jpeg(jpeg(label, 85)), DISC)
    assert has_annotation(sign(text, (20, 120), 36, BLACK, picture=label), DISC)
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    page = FUNDUS.copy()
    page[np.hypot(xs - DISC.x, ys - DISC.y) > DISC.radius] = 255
    assert not has_annotation(decode_jpeg(jpeg(page, 85)), DISC)
    for ink in (BLACK, BLUE, (200, 0, 0)):
        assert has_annotation(sign(text, (20, 120), 36, ink, picture=page), DISC)


@pytest.mark.parametrize("text", ["张伟", "林", "DOE"])
def test_a_sign_over_the_rim_is_found(text):
    """At the left rim, half inside."""
    assert has_annotation(sign(text, (235, 520), 60), DISC)


@pytest.mark.parametrize(
    "bars",
    [[(0, 0, 120, 40)], [(0, 0, 90, 50), (40, 20, 130, 70)], [(30, 30, 90, 60)], [(0, 0, 60, 60), (60, 30, 110, 60)]],
)
@pytest.mark.parametrize("blurred", [False, True])
def test_a_bar_over_a_name_is_no_text(bars, blurred):
    picture = FUNDUS.copy()
    for left, top, right, bottom in bars:
        picture[top:bottom, left:right] = 255
    if blurred:
        picture = cv2.GaussianBlur(picture, (0, 0), 2)
    assert not has_annotation(decode_jpeg(jpeg(picture, 85)), DISC)


@pytest.mark.parametrize("angle", [0.3, 2.2, 4.0])
@pytest.mark.parametrize(("length", "breadth"), [(40, 30), (60, 40), (25, 50)])
def test_a_marker_at_the_rim_is_no_text(angle, length, breadth):
    """A rectangle that stands on the rim, as several cameras print it."""
    centre = np.array([DISC.x, DISC.y]) + (DISC.radius + length / 2 - 8) * np.array([np.cos(angle), np.sin(angle)])
    marker = cv2.boxPoints((tuple(map(float, centre)), (float(length), float(breadth)), float(np.degrees(angle))))
    picture = cv2.fillConvexPoly(FUNDUS.copy(), marker.astype(np.int32), (230, 210, 190))
    assert not has_annotation(decode_jpeg(jpeg(picture, 90)), DISC)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_names_and_dates_are_found_whatever_their_size_colour_and_corner(seed):
    marked = decode_jpeg(jpeg(burn_in(FUNDUS, np.random.default_rng(seed)), 90))
    assert has_annotation(marked, find_disc(marked))


@given(st.integers(1, 300), st.integers(1, 300), st.floats(-50, 400), st.floats(0.5, 400))
@settings(max_examples=40, deadline=None)
def test_any_size_gets_an_answer(width, height, x, radius):
    assert has_annotation(np.zeros((height, width, 3), np.uint8), Disc(x, height / 2, radius, CIRCLE)) is False


@pytest.mark.parametrize("camera", CAMERAS)
def test_no_camera_of_the_phantom_gives_a_false_alarm(camera):
    for case in draw_cohort(5, 2, (0.4, 0.15, 0.2, 0.15, 0.1)):
        picture = render(5, dataclasses.replace(case, camera=camera), 0.5, without_lesions=False).rgb
        pixels = decode_jpeg(jpeg(picture, CAMERAS[camera].jpeg_quality))
        assert not has_annotation(pixels, find_disc(pixels))


def test_no_idrid_photograph_gives_a_false_alarm_and_text_in_one_is_found(idrid_dir):
    for number, path in enumerate(sorted(idrid_dir.rglob("*.jpg"))[::40]):
        decoded = decode(path.read_bytes(), 512)
        disc = find_disc(decoded.pixels)
        assert not has_annotation(decoded.pixels, disc), path.name
        marked = burn_in(decoded.pixels, np.random.default_rng(number))
        assert has_annotation(marked, disc), path.name


def test_no_photograph_of_ten_cameras_gives_a_false_alarm(shared_dir):
    """White bars cover names in some of them; one has a printed OD, which is text."""
    folder = shared_dir / "data" / "cameras" / "photographs"
    if not folder.is_dir():
        pytest.skip("the photographs of other cameras are absent (shared/data/cameras)")
    flagged = []
    for path in sorted(folder.iterdir())[::4]:
        pixels = decode(path.read_bytes(), 512).pixels
        if has_annotation(pixels, find_disc(pixels)):
            flagged.append(path.name)
    assert set(flagged) <= {"chaksu_remidio.jpg"}


def test_the_pixel_path_reports_it():
    assert PixelPath(256).process(jpeg(written((10, 30)))).annotation
    assert not PixelPath(256).process(jpeg(FUNDUS)).annotation
