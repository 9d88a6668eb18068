"""Each enhancement of known canvases; the black surround must not affect the rim."""

from math import erf, sqrt
from typing import get_args

import numpy as np
import pytest

from dr_pipeline.errors import ParamsError
from dr_pipeline.fundus.canvas import disc_mask, disc_radius_px, to_canvas
from dr_pipeline.fundus.enhancement import BEN_GRAHAM_RADIUS, ENHANCEMENTS, enhance
from dr_pipeline.fundus.field import CIRCLE, Disc, find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.params.canvas_params import Preprocess
from tests.factories.drawings import draw_fundus

SIDE = 256
REAL = [name for name in ENHANCEMENTS if name != "none"]


def canvas_of(picture: np.ndarray, side: int = SIDE) -> np.ndarray:
    return to_canvas(picture, find_disc(picture), side)


def plain(level: tuple[int, int, int], side: int = SIDE) -> np.ndarray:
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[disc_mask(side) > 0] = level
    return canvas


def distance(side: int = SIDE) -> np.ndarray:
    """From the canvas's middle, as a fraction of the disc's radius."""
    offset = np.arange(side) + 0.5 - side / 2
    return np.hypot(offset[None, :], offset[:, None]) / disc_radius_px(side)


CANVAS = canvas_of(draw_fundus(700, 600, 350, 300, 280))


def test_params_name_exactly_the_enhancements_there_are():
    assert get_args(Preprocess.model_fields["enhancement"].annotation) == ENHANCEMENTS


def test_an_unknown_enhancement_is_refused():
    with pytest.raises(ParamsError, match="sharpen"):
        enhance(CANVAS, "sharpen")


def test_none_is_the_canvas_itself():
    assert enhance(CANVAS, "none") is CANVAS


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("side", [64, 255, 512])
def test_shape_type_and_black_surround(name, side):
    canvas = canvas_of(draw_fundus(700, 600, 350, 300, 280), side)
    before = canvas.copy()
    enhanced = enhance(canvas, name)
    assert enhanced.shape == canvas.shape
    assert enhanced.dtype == np.uint8
    assert not enhanced[disc_mask(side) == 0].any()
    assert np.array_equal(canvas, before), "the canvas itself was changed"
    assert np.array_equal(enhanced, enhance(canvas, name))


def test_green_is_the_green_channel_three_times():
    enhanced = enhance(CANVAS, "green")
    for channel in range(3):
        assert np.array_equal(enhanced[..., channel], CANVAS[..., 1])


def test_ben_graham_of_a_plain_disc_is_128_up_to_its_rim():
    enhanced = enhance(plain((180, 90, 40)), "ben_graham")
    inside = disc_mask(SIDE, BEN_GRAHAM_RADIUS) > 0
    assert (enhanced[inside] == 128).all()
    assert not enhanced[~inside].any()


@pytest.mark.parametrize("side", [256, 512])
def test_ben_graham_of_a_ramp_of_light_is_128_and_its_sigma_is_a_thirtieth_of_the_radius(side):
    # Inside a straight ramp the local mean is the pixel itself; a step's overshoot shows the blur's width.
    ramp = plain((1, 1, 1), side) * np.rint(np.linspace(60, 160, side)).astype(np.uint8)[None, :, None]
    middle = distance(side) < 0.8
    assert np.abs(enhance(ramp, "ben_graham")[middle].astype(int) - 128).max() <= 3
    step = plain((100, 100, 100), side)
    step[:, side // 2 :][disc_mask(side)[:, side // 2 :] > 0] = 120
    profile = enhance(step, "ben_graham")[side // 2, side // 2 :, 1].astype(float)
    sigma = disc_radius_px(side) / 30
    x = np.arange(5 * int(sigma)) + 0.5
    # 4 · (120 − mean) + 128, where the mean of a step is the normal distribution function.
    expected = [128 + 4 * 20 * (1 - 0.5 * (1 + erf(at / (sigma * sqrt(2))))) for at in x]
    assert np.abs(profile[: len(x)] - expected).max() <= 1.5


def test_ben_graham_golden_values():
    dot = plain((100, 100, 100))
    dot[126:131, 126:131] = (90, 100, 115)
    sigma = disc_radius_px(SIDE) / 30
    weights = np.exp(-(np.arange(-2, 3) ** 2) / (2 * sigma**2)) / (sigma * sqrt(2 * np.pi))
    fraction = weights.sum() ** 2  # of the mean at the centre that comes from the dot
    expected = [128 + 4 * difference * (1 - fraction) for difference in (-10, 0, 15)]
    enhanced = enhance(dot, "ben_graham")
    assert enhanced[128, 128] == pytest.approx(expected, abs=1)
    assert enhanced[128, 128].tolist() == [96, 128, 176]
    assert enhanced[128, 90].tolist() == [128, 128, 128]


def test_ben_graham_removes_a_camera_s_brightness():
    dim = CANVAS // 2
    inside = disc_mask(SIDE) > 0
    levels = [np.where(inside[..., None], dim + np.uint8(more), np.uint8(0)) for more in (30, 60)]
    first, second = (enhance(canvas, "ben_graham").astype(int) for canvas in levels)
    assert np.abs(first - second)[distance() < 0.9].max() <= 1


def test_the_surround_does_not_affect_a_cut_off_field():
    # The upper and lower parts of the disc lie outside the frame, as in IDRiD.
    cut = to_canvas(np.full((300, 600, 3), 110, np.uint8), Disc(300, 150, 250, CIRCLE), SIDE)
    seen = cut.any(axis=2)
    rows = np.flatnonzero(seen.any(axis=1))
    inside = seen & (distance() < 0.97)
    inside[rows[0] : rows[0] + 2] = inside[rows[-1] - 1 : rows[-1] + 1] = False
    assert np.count_nonzero(inside) > 0.5 * SIDE**2
    assert (enhance(cut, "ben_graham")[inside] == 128).all()
    for name in REAL:
        enhanced = enhance(cut, name)
        assert not enhanced[~seen].any()
        assert np.ptp(enhanced[inside], axis=0).max() <= 1, name


def test_clahe_raises_contrast_keeps_hue_and_ignores_the_surround():
    enhanced = enhance(CANVAS, "clahe")
    core = distance() < 0.9
    lab, before = (cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(int) for picture in (enhanced, CANVAS))
    assert lab[core][:, 0].std() > 1.1 * before[core][:, 0].std()
    # Where the lighter picture leaves the range of RGB its hue gives way; elsewhere a and b are rounded only.
    in_range = core & (enhanced.max(2) < 255) & (enhanced.min(2) > 0)
    assert np.count_nonzero(in_range) > 0.5 * np.count_nonzero(core)
    assert np.quantile(np.abs(lab - before)[in_range][:, 1:], 0.99) <= 2


def test_a_black_lesion_belongs_to_the_field():
    lesion = plain((30, 14, 8))
    cv2.circle(lesion, (100, 120), 3, (11, 3, 1), -1)
    red = int(enhance(lesion, "ben_graham")[120, 100, 0])
    assert 128 - 4 * (30 - 11) <= red < 128 - 2 * (30 - 11)


@pytest.mark.parametrize("name", REAL)
def test_a_mirrored_photograph_gives_the_mirrored_canvas(name):
    side = 256  # a whole number of tiles
    flipped = enhance(np.ascontiguousarray(CANVAS[:, ::-1]), name)[:, ::-1]
    plainly = enhance(CANVAS, name)
    difference = np.abs(flipped.astype(int) - plainly.astype(int))[distance(side) < 0.9]
    assert difference.max() <= 8  # OpenCV's CLAHE takes the tiles' middles half a pixel off
    assert difference.mean() < 0.5


@pytest.mark.parametrize("name", ENHANCEMENTS)
def test_nothing_lit_stays_black(name):
    assert not enhance(np.zeros((SIDE, SIDE, 3), np.uint8), name).any()


def test_enhancement_does_not_depend_on_resolution():
    small, large = (canvas_of(draw_fundus(3 * r, 3 * r, 1.5 * r, 1.5 * r, r)) for r in (260, 520))
    core = distance() < 0.9
    for name in REAL:
        difference = np.abs(enhance(small, name).astype(int) - enhance(large, name).astype(int))[core]
        assert difference.mean() < 9, name
