"""Text beside the disc is detected; notches, halos, noise and the disc itself give no false alarm."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

WIDTH, HEIGHT = 1500, 1000
DISC = Disc(750, 500, 470, CIRCLE)
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
    cv2.putText(picture, "R", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (220, 220, 220), 3)  # which eye: no identity
    assert not has_annotation(decode_jpeg(jpeg(picture, 80)), DISC)


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


def test_the_pixel_path_reports_it():
    assert PixelPath(256).process(jpeg(written((10, 30)))).annotation
    assert not PixelPath(256).process(jpeg(FUNDUS)).annotation
