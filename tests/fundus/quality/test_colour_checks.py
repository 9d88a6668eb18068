"""Pages, landscapes, noise and plain colours are not taken for a fundus."""

import numpy as np
import pytest

from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath, Quality
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus, encode

FUNDUS = draw_fundus(1000, 800, 500, 400, 380)
PATH = PixelPath(256)


def quality_of(picture: np.ndarray) -> Quality:
    return PATH.process(encode(np.clip(picture, 0, 255).astype(np.uint8), ".png")).quality


def landscape(seed: int, *, grey: bool) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = sum(
        cv2.resize(random.standard_normal((k, k, 3)).astype(np.float32), (600, 600), interpolation=cv2.INTER_CUBIC)
        * (64 / k) ** 0.8
        for k in (4, 8, 16, 64, 256)
    )
    noise = (noise - noise.min()) / np.ptp(noise) * 255
    return np.repeat(noise[..., :1], 3, 2) if grey else noise


def document(paper: tuple[int, int, int]) -> np.ndarray:
    page = np.full((900, 640, 3), paper, np.float64)
    random = np.random.default_rng(1)
    for line in range(60, 840, 26):
        page[line : line + 10, 60 : 60 + int(random.integers(200, 520))] *= 0.15
    return page


def green_disc() -> np.ndarray:
    return cv2.cvtColor(FUNDUS, cv2.COLOR_RGB2BGR)[..., [0, 2, 1]]


NOT_FUNDUS = {
    "white page": np.full((600, 600, 3), 255.0),
    "grey page": np.full((600, 600, 3), 128.0),
    "plain red": np.full((600, 600, 3), (180.0, 60.0, 20.0)),
    "plain blue": np.full((600, 600, 3), (20.0, 60.0, 180.0)),
    "document": document((250, 250, 250)),
    "document on yellow paper": document((250, 240, 215)),
    "document on a dark desk": np.pad(document((250, 250, 250)), ((150, 150), (400, 400), (0, 0))),
    "grey landscape": landscape(1, grey=True),
    "landscape": landscape(2, grey=False),
    "noise": np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.float64),
    "green disc": green_disc().astype(np.float64),
}


@pytest.mark.parametrize("name", NOT_FUNDUS)
def test_other_pictures_are_not_fundus(name):
    quality = quality_of(NOT_FUNDUS[name])
    assert quality.status is Status.NOT_FUNDUS, quality
    assert quality.reasons
    assert quality.score == 0
