"""Colours that are none, those of a ramp, exchanged or not red: a person decides, whatever the file's compression."""

import numpy as np
import pytest

from benchmarks.retina_views import RAMPS, gains, ramped
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath, Quality
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus, encode, with_tissue

FUNDUS = with_tissue(draw_fundus(1000, 800, 500, 400, 380))
PATH = PixelPath(256)


def quality_of(picture: np.ndarray) -> Quality:
    return PATH.process(encode(np.clip(picture, 0, 255).astype(np.uint8), ".png")).quality


@pytest.mark.parametrize("ramp", RAMPS)
def test_a_grey_picture_coloured_by_a_ramp_is_left_to_a_person(ramp):
    # A PNG of it, so that the ramp alone is tested; compression is tested on photographs below.
    quality = quality_of(RAMPS[ramp](np.ascontiguousarray(FUNDUS[..., 1])))
    assert quality.status is Status.UNGRADABLE
    assert {"monochrome", "unlike_tissue"} & set(quality.reasons)


@pytest.mark.parametrize(
    "picture",
    [FUNDUS, gains(FUNDUS, 0.5, 0.5, 0.5), gains(FUNDUS, 1.15, 1, 0.85), gains(FUNDUS, 0.85, 1, 1.15)],
    ids=["as it is", "half brightness", "warmer", "cooler"],
)
def test_a_colour_photograph_is_not_monochrome(picture):
    assert quality_of(picture).status is Status.SCORED


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (gains(FUNDUS, 0.45, 1, 1), "not_red"),
        (gains(FUNDUS, 0.4, 0.9, 1.8), "not_red"),
        (cv2.cvtColor(FUNDUS, cv2.COLOR_RGB2BGR)[..., [0, 2, 1]], "not_red"),
        (FUNDUS[..., ::-1], "colour_order"),
        (np.repeat(FUNDUS[..., 1:2], 3, axis=2), "no_colour"),
    ],
    ids=["too little red", "bluish", "green", "exchanged", "grey"],
)
def test_a_field_of_another_colour_is_left_to_a_person(picture, reason):
    quality = quality_of(picture)
    assert quality.status is Status.UNGRADABLE
    assert reason in quality.reasons


def test_clipped_red_says_nothing_about_its_ratio_to_green():
    quality = quality_of(FUNDUS * 2.2)
    assert "not_red" not in quality.reasons
    assert "monochrome" not in quality.reasons


def test_no_photograph_is_monochrome_and_its_red_free_copies_are(cameras_dir):
    named = []
    for number, path in enumerate(sorted((cameras_dir / "photographs").iterdir())[::6]):
        pixels = decode(path.read_bytes(), 256).pixels
        assert "monochrome" not in PATH.process(path.read_bytes()).quality.reasons, path.name
        ramp = sorted(RAMPS)[number % len(RAMPS)]
        named.append("monochrome" in quality_of(ramped(pixels, ramp, 60)).reasons)
    assert np.mean(named) >= 0.9
