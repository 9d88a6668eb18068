"""Quality: conservative statuses, the right reason for each defect, no dependence on the file's resolution."""

from itertools import pairwise

import numpy as np
import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.cv import cv2
from dr_pipeline.fundus.disc import CIRCLE, Disc
from dr_pipeline.fundus.pixel_path import PixelPath, Quality
from dr_pipeline.fundus.quality import LIMITS, assess
from dr_pipeline.schema import Status
from tests.fundus.fundus_drawings import draw_fundus, encode

FUNDUS = draw_fundus(1000, 800, 500, 400, 380)
PATH = PixelPath(256)


def judge(picture: np.ndarray) -> Quality:
    return PATH.process(encode(np.clip(picture, 0, 255).astype(np.uint8), ".png")).quality


def blurred(sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(FUNDUS, (0, 0), sigma) if sigma else FUNDUS


def test_a_good_fundus_is_scored():
    quality = judge(FUNDUS)
    assert quality.status is Status.SCORED
    assert quality.reasons == ()
    assert 0.3 < quality.score <= 1


DEFECTS = {
    "dark": FUNDUS * 0.08,
    "overexposed": FUNDUS * 4.0,
    "blurred": blurred(20),
    "low_contrast": (FUNDUS - [150.0, 70, 30]) * 0.06 + [150, 70, 30],
    "no_colour": np.repeat(FUNDUS[..., 1:2], 3, axis=2),
    "colour_order": FUNDUS[..., ::-1],
}


@pytest.mark.parametrize("reason", DEFECTS)
def test_each_defect_has_its_reason(reason):
    picture = DEFECTS[reason].copy()
    ys, xs = np.mgrid[:800, :1000]
    picture[np.hypot(xs - 500, ys - 400) > 380] = 0
    quality = judge(picture)
    assert quality.status is Status.UNGRADABLE
    assert reason in quality.reasons
    assert quality.score == 0


def test_too_little_of_the_disc_and_too_few_pixels():
    strip = np.zeros_like(FUNDUS)
    strip[330:470] = FUNDUS[330:470]
    assert "field" in assess(draw_canvas(strip), Disc(500, 400, 380, CIRCLE)).reasons
    assert judge(draw_fundus(100, 100, 50, 50, 45)).reasons == ("small",)


def draw_canvas(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture[20:780, 120:880], (256, 256), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    ("series", "name"),
    [
        ([blurred(s) for s in (2, 5, 9, 13, 20)], "blur"),
        ([FUNDUS * g for g in (0.7, 0.5, 0.3, 0.15)], "darkness"),
        ([FUNDUS * g for g in (1.6, 2.0, 2.5, 3.2)], "glare"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_score_falls_with_the_defects_strength(series, name):
    scores = [judge(picture).score for picture in series]
    assert all(a > b or a == b == 0 for a, b in pairwise(scores)), (name, scores)


def test_the_score_does_not_depend_on_resolution():
    large = draw_fundus(2000, 1600, 1000, 800, 760)
    half = cv2.resize(large, (1000, 800), interpolation=cv2.INTER_AREA)
    assert judge(large).score == pytest.approx(judge(half).score, abs=0.03)


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


STRANGERS = {
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


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_fundus_is_told_apart(name):
    quality = judge(STRANGERS[name])
    assert quality.status is Status.NOT_FUNDUS, quality
    assert quality.reasons
    assert quality.score == 0


def test_a_black_picture_is_ungradable_not_lost():
    assert judge(np.zeros((400, 400, 3))) == Quality(0.0, ("dark",), Status.UNGRADABLE)


def test_a_fundus_without_its_rim_is_still_scored_with_a_remark():
    quality = judge(FUNDUS[200:600, 300:700])
    assert quality.status is Status.SCORED
    assert quality.reasons == ("no_disc",)


def test_no_idrid_photograph_is_refused(idrid_dir):
    photographs = sorted(idrid_dir.rglob("*.jpg"))[::9]
    for path in photographs:
        try:
            quality = PATH.process(path.read_bytes()).quality
        except ImageError as error:
            pytest.fail(f"{path.name}: {error.what}")
        assert quality.status is Status.SCORED, (path.name, quality)


def test_every_limit_has_a_worst_and_a_good_end():
    for limit in LIMITS.values():
        assert limit.share(limit.worst) == 0
        assert limit.share(limit.good) == 1
        assert limit.share((limit.worst + limit.good) / 2) == pytest.approx(0.5)
