"""Quality: conservative statuses, the right reason for each defect, no dependence on the file's resolution."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quality_defects import ARTEFACTS, DEFECTS, STRENGTHS
from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import CIRCLE, Disc, find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath, Quality
from dr_pipeline.fundus.quality.assess import ARTEFACT, BLURRED, DARK, LIMITS, OFF_CENTRE, OVEREXPOSED, assess
from dr_pipeline.fundus.quality.measures import measure_cells
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus, encode, with_tissue

pytestmark = pytest.mark.slow

FUNDUS = draw_fundus(1000, 800, 500, 400, 380)
PATH = PixelPath(256)


def quality_of(picture: np.ndarray) -> Quality:
    return PATH.process(encode(np.clip(picture, 0, 255).astype(np.uint8), ".png")).quality


def blurred(sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(FUNDUS, (0, 0), sigma) if sigma else FUNDUS


def test_a_good_fundus_is_scored():
    quality = quality_of(FUNDUS)
    assert quality.status is Status.SCORED
    assert quality.reasons == ()
    assert 0.3 < quality.score <= 1


GROSS = {
    "dark": FUNDUS * 0.08,
    "overexposed": FUNDUS * 4.0,
    "blurred": blurred(20),
    "low_contrast": (FUNDUS - [150.0, 70, 30]) * 0.06 + [150, 70, 30],
    "no_colour": np.repeat(FUNDUS[..., 1:2], 3, axis=2),
    "colour_order": FUNDUS[..., ::-1],
}


@pytest.mark.parametrize("reason", GROSS)
def test_each_defect_has_its_reason(reason):
    picture = GROSS[reason].copy()
    ys, xs = np.mgrid[:800, :1000]
    picture[np.hypot(xs - 500, ys - 400) > 380] = 0
    quality = quality_of(picture)
    assert quality.status is Status.UNGRADABLE
    assert reason in quality.reasons
    assert quality.score == 0


def test_too_little_of_the_disc_and_too_few_pixels():
    strip = np.zeros_like(FUNDUS)
    strip[330:470] = FUNDUS[330:470]
    assert "field" in assess(draw_canvas(strip), Disc(500, 400, 380, CIRCLE)).reasons
    assert quality_of(draw_fundus(100, 100, 50, 50, 45)).reasons == ("small",)


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
    scores = [quality_of(picture).score for picture in series]
    assert all(a > b or a == b == 0 for a, b in pairwise(scores)), (name, scores)


REASONS = {"blur": BLURRED, "dark": DARK, "overexposed": OVEREXPOSED, "off_centre": OFF_CENTRE}


def canvas_of(pixels: np.ndarray) -> tuple[np.ndarray, Disc]:
    disc = find_disc(pixels)
    return to_canvas(pixels, disc, 256), disc


@pytest.mark.parametrize("kind", [*DEFECTS, *ARTEFACTS])
def test_planted_defects_lower_the_score_step_by_step_and_are_named(idrid_dir, kind):
    series = []
    for number, path in enumerate(sorted(idrid_dir.rglob("*.jpg"))[4::100]):
        decoded = decode(path.read_bytes(), 256)
        disc = find_disc(decoded.pixels)
        planted = [
            {**DEFECTS, **ARTEFACTS}[kind](decoded.pixels, disc, strength, np.random.default_rng(number))
            for strength in STRENGTHS[1::2]
        ]
        series.append([assess(*canvas_of(pixels)) for pixels in (decoded.pixels, *planted)])
    means = np.array([[quality.score for quality in row] for row in series]).mean(axis=0)
    assert all(a > b for a, b in pairwise(means)), means
    assert means[-1] < 0.2 * means[0]
    # At the greatest strength nearly every photograph names the defect.
    assert np.mean([REASONS.get(kind, ARTEFACT) in row[-1].reasons for row in series]) >= 0.8


def test_noise_does_not_count_as_sharpness():
    # Noise of 3 levels on a picture out of focus, in a file of twice the canvas's side.
    picture = draw_fundus(600, 520, 300, 260, 250, seed=3)
    soft = cv2.GaussianBlur(picture, (0, 0), 10).astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 3, picture.shape) * (picture.max(axis=2, keepdims=True) > 12)
    sharp, unsharp = quality_of(picture + noise), quality_of(soft + noise)
    assert sharp.score > 0.5
    assert unsharp.score < 0.3 * sharp.score


def turned_alike(canvas: np.ndarray) -> np.ndarray:
    """A canvas whose four quadrants are rotated copies of one."""
    half = canvas.shape[0] // 2
    quarter = canvas[:half, half:]
    right = np.vstack([quarter, np.rot90(quarter, -1)])
    return np.ascontiguousarray(np.hstack([np.rot90(right, 2), right]))


def test_the_spread_shows_a_differing_quadrant():
    alike = turned_alike(PATH.process(encode(FUNDUS, ".png")).canvas)
    even = assess(alike, Disc(500, 400, 380, CIRCLE))
    assert even.score > 0.3
    assert even.spread < 0.02
    odd = alike.copy()
    odd[128:, 128:] = cv2.GaussianBlur(odd, (0, 0), 6)[128:, 128:] // 4
    uneven = assess(odd, Disc(500, 400, 380, CIRCLE))
    assert uneven.spread > 5 * even.spread + 0.05
    # The definition, written out.
    cells = measure_cells(odd)
    assert cells
    left_out = [cells.measures(quadrant) for quadrant in range(4)]
    scores = [np.prod([LIMITS[k].factor(getattr(m, k)) for k in LIMITS]) for m in left_out]
    assert uneven.spread == pytest.approx(np.sqrt(3 / 4 * np.sum((scores - np.mean(scores)) ** 2)))


@given(st.integers(0, 2**32 - 1), st.sampled_from((64, 130, 256, 400)), st.floats(0, 1), st.floats(0, 60))
@settings(max_examples=60, deadline=None)
def test_every_canvas_has_a_quality(seed, side, lit, deviation):
    random = np.random.default_rng(seed)
    canvas = random.normal(random.uniform(0, 255, 3), deviation, (side, side, 3))
    canvas[random.random((side, side)) > lit] = 0
    quality = assess(np.clip(canvas, 0, 255).astype(np.uint8), Disc(100, 100, random.uniform(1, 500), CIRCLE))
    assert 0 <= quality.score <= 1
    assert 0 <= quality.spread <= 1
    assert (quality.score > 0) == (quality.status is Status.SCORED)
    assert quality.reasons or quality.score > 0.02


def test_the_score_does_not_depend_on_resolution():
    large = draw_fundus(2000, 1600, 1000, 800, 760)
    half = cv2.resize(large, (1000, 800), interpolation=cv2.INTER_AREA)
    assert quality_of(large).score == pytest.approx(quality_of(half).score, abs=0.03)


def test_a_black_picture_is_ungradable():
    assert quality_of(np.zeros((400, 400, 3))) == Quality(0.0, 0.0, ("dark",), Status.UNGRADABLE)


def test_a_fundus_without_its_rim_is_still_scored_with_a_remark():
    quality = quality_of(with_tissue(FUNDUS)[200:600, 300:700])
    assert quality.status is Status.SCORED
    assert quality.reasons[-1] == "no_disc"


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
        assert limit.fraction(limit.worst) == 0
        assert limit.fraction(limit.good) == 1
        assert limit.fraction((limit.worst + limit.good) / 2) == pytest.approx(0.5)


def test_the_score_of_a_photograph_is_that_of_its_half_size_copy(idrid_dir):
    for path in sorted(idrid_dir.rglob("*.jpg"))[7::80]:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        copy = bytes(cv2.imencode(".jpg", half, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
        large, small = PATH.process(path.read_bytes()).quality, PATH.process(copy).quality
        assert small.score == pytest.approx(large.score, abs=0.05), path.name
        assert small.status is large.status
