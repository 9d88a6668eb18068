"""How a photograph looks: measured whatever its status, changed by what changes it, and by nothing else."""

import numpy as np
import pytest

from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.measures import Appearance
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus, encode

FUNDUS = draw_fundus(600, 500, 300, 250, 230)
PATH = PixelPath(256)


def appearance_of(picture: np.ndarray, path: PixelPath = PATH) -> Appearance:
    quality = path.process(encode(np.clip(np.rint(picture), 0, 255).astype(np.uint8), ".png")).quality
    assert quality.appearance is not None
    return quality.appearance


def test_colour_follows_the_gains_and_nothing_else():
    plain, warm = appearance_of(FUNDUS), appearance_of(FUNDUS * np.array([1, 0.9, 0.6]))
    assert warm.red_over_green / plain.red_over_green == pytest.approx(1 / 0.9, rel=0.03)
    assert warm.blue_over_green / plain.blue_over_green == pytest.approx(0.6 / 0.9, rel=0.05)
    assert warm.brightness == pytest.approx(plain.brightness, abs=1)


def test_brightness_and_sharpness():
    plain = appearance_of(FUNDUS)
    assert appearance_of(FUNDUS * 0.7).brightness == pytest.approx(0.7 * plain.brightness, rel=0.03)
    assert appearance_of(cv2.GaussianBlur(FUNDUS, (0, 0), 4)).sharpness < plain.sharpness


def test_an_ungradable_photograph_has_an_appearance_and_the_enhancement_changes_none():
    dark = PATH.process(encode((FUNDUS * 0.12).astype(np.uint8), ".png")).quality
    assert dark.status is Status.UNGRADABLE
    assert dark.appearance is not None
    assert appearance_of(FUNDUS, PixelPath(256, "ben_graham")) == appearance_of(FUNDUS)
