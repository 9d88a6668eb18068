"""Pages, scenes, sections, gradients and noise are no fundus; a retina, tinted, squashed or hazed, is never that."""

import numpy as np
import pytest

from benchmarks.retina_views import EXTREMES, VIEWS
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath, Quality
from dr_pipeline.fundus.quality.assess import assess
from dr_pipeline.intake.phantom.non_fundus import NON_FUNDUS_KINDS, draw_non_fundus
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus, encode, with_tissue

pytestmark = pytest.mark.slow

FUNDUS = with_tissue(draw_fundus(1000, 800, 500, 400, 380))
PATH = PixelPath(256)


def quality_of(picture: np.ndarray) -> Quality:
    return PATH.process(encode(np.clip(picture, 0, 255).astype(np.uint8), ".png")).quality


def document(paper: tuple[int, int, int]) -> np.ndarray:
    page = np.full((900, 640, 3), paper, np.float64)
    random = np.random.default_rng(1)
    for line in range(60, 840, 26):
        page[line : line + 10, 60 : 60 + int(random.integers(200, 520))] *= 0.15
    return page


def clouds(*, grey: bool) -> np.ndarray:
    random = np.random.default_rng(1)
    noise = sum(
        cv2.resize(random.standard_normal((k, k, 3)).astype(np.float32), (600, 600), interpolation=cv2.INTER_CUBIC)
        * (64 / k) ** 0.8
        for k in (4, 8, 16, 64, 256)
    )
    noise = (noise - noise.min()) / np.ptp(noise) * 255
    return np.repeat(noise[..., :1], 3, 2) if grey else noise


def noise(*, grey: bool) -> np.ndarray:
    random = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.float64)
    return np.repeat(random[..., :1], 3, 2) if grey else random


NOT_FUNDUS = {
    "white page": (np.full((600, 600, 3), 255.0), "flat"),
    "grey page": (np.full((600, 600, 3), 128.0), "flat"),
    "plain red": (np.full((600, 600, 3), (180.0, 60.0, 20.0)), "flat"),
    "plain blue": (np.full((600, 600, 3), (20.0, 60.0, 180.0)), "flat"),
    "document": (document((250, 250, 250)), "page"),
    "document on yellow paper": (document((250, 240, 215)), "page"),
    "document on a dark desk": (np.pad(document((250, 250, 250)), ((150, 150), (400, 400), (0, 0))), "page"),
    "coloured noise": (noise(grey=False), "no_structure"),
    "grey noise": (noise(grey=True), "no_structure"),
}


@pytest.mark.parametrize("name", NOT_FUNDUS)
def test_evidence_of_another_picture_is_named(name):
    picture, reason = NOT_FUNDUS[name]
    quality = quality_of(picture)
    assert quality.status is Status.NOT_FUNDUS, quality
    assert reason in quality.reasons
    assert quality.score == 0


@pytest.mark.parametrize("kind", NON_FUNDUS_KINDS)
def test_the_drawn_kinds_are_recognised(kind):
    for number, size in enumerate(((640, 480), (480, 640), (224, 224))):
        quality = quality_of(draw_non_fundus(np.random.default_rng(number), kind, *size))
        assert quality.status is Status.NOT_FUNDUS, (size, quality)


@pytest.mark.parametrize("grey", [True, False])
def test_without_evidence_a_person_decides(grey):
    quality = quality_of(clouds(grey=grey))
    assert quality.status is Status.UNGRADABLE
    assert quality.reasons


@pytest.mark.parametrize("view", [*VIEWS, *EXTREMES])
def test_a_retina_is_never_called_no_fundus(view):
    quality = quality_of({**VIEWS, **EXTREMES}[view](FUNDUS))
    assert quality.status is not Status.NOT_FUNDUS, quality
    if view in VIEWS:
        assert quality.status is Status.SCORED, quality


def test_no_photograph_of_any_camera_is_called_no_fundus(cameras_dir):
    for number, path in enumerate(sorted((cameras_dir / "photographs").iterdir())):
        pixels = decode(path.read_bytes(), 256).pixels
        views = {**VIEWS, **EXTREMES}
        chosen = ["as it is", sorted(views)[number % len(views)]]
        for name in chosen:
            picture = views[name](pixels)
            disc = find_disc(picture)
            quality = assess(to_canvas(picture, disc, 256), disc)
            assert quality.status is not Status.NOT_FUNDUS, (path.name, name, quality)
