"""Scenes and surfaces in a round frame, also reddish ones, are not scored; a retina in any light is not doubted."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from benchmarks.gate import assess_pixels
from benchmarks.retina_views import VIEWS, recompressed
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus, with_tissue

pytestmark = pytest.mark.slow

FUNDUS = with_tissue(draw_fundus(1000, 800, 500, 400, 380))
GAINS = {"as it is": (1, 1, 1), "warm": (1.2, 0.9, 0.6), "red": (1.3, 0.6, 0.35)}


def in_a_disc(picture: np.ndarray, radius: int, gains: tuple[float, float, float]) -> np.ndarray:
    """The largest square of a picture, tinted, in a round frame on black, as a JPEG file gives it back."""
    side = min(picture.shape[:2])
    square = cv2.resize(picture[:side, :side], (2 * radius, 2 * radius), interpolation=cv2.INTER_AREA)
    ys, xs = np.mgrid[: 2 * radius, : 2 * radius] + 0.5
    inside = np.hypot(xs - radius, ys - radius)[..., None] < radius
    tinted = np.where(inside, np.clip(square * np.array(gains), 0, 255), 0).astype(np.uint8)
    return recompressed(cv2.copyMakeBorder(tinted, 12, 12, 60, 60, cv2.BORDER_CONSTANT), 90)


def grain_of_wood() -> np.ndarray:
    random = np.random.default_rng(3)
    lines = cv2.GaussianBlur(random.standard_normal((400, 400)).astype(np.float32), (0, 0), 12, None, 1.5)
    return np.clip(np.array([150, 90, 50]) * (1 + 4 * lines[..., None]), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("gains", GAINS)
@pytest.mark.parametrize("radius", [150, 210])
@pytest.mark.parametrize("scene", ["china.jpg", "flower.jpg"])
def test_a_scene_in_a_round_frame_is_not_scored(scene, radius, gains):
    quality = assess_pixels(in_a_disc(load_sample_image(scene), radius, GAINS[gains]))
    assert quality.status is not Status.SCORED
    assert quality.reasons


def test_a_surface_as_red_as_a_retina_is_left_to_a_person():
    quality = assess_pixels(in_a_disc(grain_of_wood(), 190, GAINS["as it is"]))
    assert quality.status is Status.UNGRADABLE
    assert "unlike_tissue" in quality.reasons


@pytest.mark.parametrize("view", VIEWS)
def test_a_drawn_retina_is_not_doubted(view):
    assert "unlike_tissue" not in assess_pixels(VIEWS[view](FUNDUS)).reasons


def test_no_photograph_of_any_camera_is_doubted(cameras_dir):
    for path in sorted((cameras_dir / "photographs").iterdir())[::5]:
        reasons = assess_pixels(decode(path.read_bytes(), 256).pixels).reasons
        assert not {"unlike_tissue", "outlines", "harsh"} & set(reasons), path.name
