"""Models of other cameras: identity at strength 0, damage that grows, shapes, borders and draws."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.fundus.camera_models import CAMERA_MODELS, CANVAS_MODELS, JPEG, Camera, amount, draw_camera
from dr_pipeline.fundus.decode import decode, read_image_file
from dr_pipeline.fundus.field import CIRCLE, find_disc
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.schema import Status
from tests.factories.bundles import photograph

PIXELS = decode(photograph(1, side_px=240), 1 << 20).pixels
DISC = find_disc(PIXELS)
OF_COLOUR = ("warm", "cool", "vignetting", "blur", "green", "magenta", "bright", "dark")
names = pytest.mark.parametrize("name", CAMERA_MODELS)


def camera(name: str, strength: float = 1.0) -> Camera:
    return Camera(frozenset({name}), strength)


@names
def test_strength_zero_changes_no_pixel(name: str) -> None:
    assert camera(name, 0.0).photograph(PIXELS, DISC) is PIXELS


@names
def test_a_vanishing_strength_changes_next_to_nothing_of_colour(name: str) -> None:
    if name in OF_COLOUR:
        shifted = camera(name, 1e-6).photograph(PIXELS, DISC)
        assert np.abs(shifted.astype(int) - PIXELS).max() <= 1


@given(name=st.sampled_from(OF_COLOUR), strength=st.floats(0.3, 0.9))
def test_damage_grows_with_strength_and_keeps_the_shape(name: str, strength: float) -> None:
    mild, severe = (camera(name, one).photograph(PIXELS, DISC) for one in (strength, strength + 0.1))
    assert mild.shape == severe.shape == PIXELS.shape
    assert mild.dtype == severe.dtype == np.uint8
    assert 0 < distance(mild) < distance(severe)


def distance(pixels: np.ndarray) -> float:
    return float(np.abs(pixels.astype(int) - PIXELS).mean())


def test_jpeg_files_become_smaller_and_worse() -> None:
    files = [camera(JPEG, strength).encode(PIXELS) for strength in (0, 1 / 3, 2 / 3, 1)]
    assert [len(file) for file in files] == sorted((len(file) for file in files), reverse=True)
    damage = [distance(decode(file, 1 << 20).pixels) for file in files]
    assert damage == sorted(damage)
    assert damage[0] < 2.5  # strength 0 is the identity up to JPEG 95


def test_warm_light_is_redder_and_green_keeps_its_level() -> None:
    grey = np.full((80, 80, 3), 100, np.uint8)
    warm, cool = (camera(name).photograph(grey, find_disc(grey))[0, 0].astype(int) for name in ("warm", "cool"))
    assert warm[0] > 100 > warm[2]
    assert cool[0] < 100 < cool[2]
    assert warm[1] == cool[1] == 100


def test_tone_curves_have_the_documented_exponents() -> None:
    grey = np.full((80, 80, 3), 51, np.uint8)
    bright, dark = (camera(name).photograph(grey, DISC)[0, 0, 0] for name in ("bright", "dark"))
    assert bright == round(255 * 0.2 ** (1 / 1.8))
    assert dark == round(255 * 0.2**1.8)


def test_vignetting_spares_the_centre_and_dims_the_rim() -> None:
    white = np.full_like(PIXELS, 200)
    shifted = camera("vignetting").photograph(white, DISC)
    assert shifted[round(DISC.y), round(DISC.x), 0] >= 199
    assert shifted[round(DISC.y), round(DISC.x + DISC.radius), 0] == pytest.approx(200 * 0.3 ** (1 / 2.2), abs=2)


@pytest.mark.parametrize(("name", "megapixels"), [("low_resolution", 0.5), ("high_resolution", 12.0)])
def test_resolutions_end_at_the_documented_megapixels(name: str, megapixels: float) -> None:
    pixels = np.zeros((1000, 1500, 3), np.uint8)
    height, width = camera(name).photograph(pixels, find_disc(PIXELS)).shape[:2]
    assert height * width / 1e6 == pytest.approx(megapixels, rel=0.01)
    assert width / height == pytest.approx(1.5, rel=0.01)


def test_a_photograph_below_the_lowest_resolution_stays() -> None:
    assert camera("low_resolution").photograph(PIXELS, DISC) is PIXELS


def test_a_narrow_field_is_two_thirds_as_wide_and_round() -> None:
    disc = find_disc(camera("narrow_field").photograph(PIXELS, DISC))
    assert disc.fit == CIRCLE
    assert disc.radius == pytest.approx(DISC.radius * 2 / 3, rel=0.02)


def test_a_cut_field_keeps_its_radius_and_width() -> None:
    shifted = camera("cut_off").photograph(PIXELS, DISC)
    disc = find_disc(shifted)
    assert shifted.shape == (pytest.approx(1.4 * DISC.radius, abs=2), PIXELS.shape[1], 3)
    assert (disc.fit, disc.fault) == (CIRCLE, "")
    assert disc.radius == pytest.approx(DISC.radius, rel=0.02)


def test_a_squashed_field_is_found_as_an_ellipse() -> None:
    assert find_disc(camera("squash").photograph(PIXELS, DISC)).aspect == pytest.approx(2 / 3, rel=0.03)


@given(strength=st.floats(0.01, 1))
def test_a_turned_picture_holds_the_whole_field_and_turns_back(strength: float) -> None:
    disc = find_disc(turned := camera("rotation", strength).photograph(PIXELS, DISC))
    assert disc.fit == CIRCLE
    assert disc.radius == pytest.approx(DISC.radius, rel=0.02)
    assert int(turned.max()) > 100


def test_the_turn_is_as_documented() -> None:
    pixels = PIXELS.copy()
    pixels[round(DISC.y), round(DISC.x + DISC.radius * 0.6)] = 255  # a mark right of the centre
    pixels[round(DISC.y) - 1 : round(DISC.y) + 2, round(DISC.x + DISC.radius * 0.6)] = 255
    turned = camera("rotation").photograph(pixels, DISC)
    disc = find_disc(turned)
    y, x = np.unravel_index(turned.min(axis=2).argmax(), turned.shape[:2])
    assert np.degrees(np.arctan2(disc.y - y, x - disc.x)) == pytest.approx(45, abs=3)


def test_a_mirrored_picture_is_mirrored_at_any_strength() -> None:
    for strength in (0.3, 1.0):
        assert np.array_equal(camera("flip", strength).photograph(PIXELS, DISC), PIXELS[:, ::-1])


@names
def test_every_model_states_what_it_does_at_a_strength(name: str) -> None:
    assert amount(name, 1.0)
    assert amount("jpeg", 1.0) == "quality 30"
    assert amount("rotation", 1 / 3) == "15°"


def test_real_photographs_of_other_cameras_stay_photographs(cameras_dir: Path) -> None:
    files = sorted(path for path in cameras_dir.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    for path in files[:: len(files) // 3]:
        pixels = decode(read_image_file(path), 512).pixels
        disc = find_disc(pixels)
        for name in sorted(set(CAMERA_MODELS) - {"high_resolution"}):
            file = camera(name).encode(camera(name).photograph(pixels, disc))
            assert PixelPath(256).process(file).quality.status in (Status.SCORED, Status.UNGRADABLE), (path.name, name)


@given(seed=st.integers(0, 2**32), strength=st.floats(0, 1), num_models=st.integers(1, 9))
def test_draws_are_repeatable_and_never_contradict_themselves(seed: int, strength: float, num_models: int) -> None:
    one, other = (draw_camera(np.random.default_rng(seed), strength, num_models=num_models) for _ in range(2))
    assert one == other
    assert len(one.models) == num_models
    assert not {"warm", "cool"} <= one.models
    assert not {"bright", "dark"} <= one.models


@pytest.mark.parametrize("name", CANVAS_MODELS)
@pytest.mark.parametrize("strength", [0.0, 0.01, 0.3, 1.0])
def test_a_canvas_keeps_its_shape_and_its_black_corners(name: str, strength: float) -> None:
    canvas = PixelPath(96).process(photograph(1, side_px=240)).canvas
    shifted = camera(name, strength).canvas(canvas)
    assert (shifted.shape, shifted.dtype) == (canvas.shape, np.uint8)
    assert not shifted[:8, :8].any()
    if strength in (0.0, 1.0):
        assert np.array_equal(shifted, canvas) == (strength == 0.0)


def test_what_a_canvas_shows_of_a_cut_field_and_of_a_narrow_one() -> None:
    canvas = np.zeros((100, 100, 3), np.uint8)
    across = np.arange(100) + 0.5 - 50
    canvas[across[:, None] ** 2 + across[None] ** 2 <= 50**2] = 90
    canvas[:, 50] = 200  # a line through the centre
    cut = camera("cut_off").canvas(canvas)
    assert not cut[:15].any()
    assert np.array_equal(cut[15:85], canvas[15:85])
    narrow = camera("narrow_field").canvas(canvas)
    fills = (narrow[..., 0] > 45).mean() / canvas.any(axis=2).mean()
    assert fills == pytest.approx(1 / 1.03**2, abs=0.03)  # the frame leaves a margin of 3 %
    assert narrow[50, :, 0].argmax() == pytest.approx(50, abs=1)


def test_draws_for_canvases_are_of_what_shows_on_them() -> None:
    for seed in range(30):
        drawn = draw_camera(np.random.default_rng(seed), 1.0, on_canvases=True).models
        assert drawn <= set(CANVAS_MODELS)
        assert len(drawn) == 3


def test_seeds_draw_different_cameras() -> None:
    assert len({draw_camera(np.random.default_rng(seed), 1.0).models for seed in range(20)}) > 10


@pytest.mark.parametrize(("models", "strength"), [({"x-ray"}, 0.5), ({"blur"}, 1.1), ({"blur"}, -0.1)])
def test_unknown_models_and_strengths_are_refused(models: set[str], strength: float) -> None:
    with pytest.raises(ValueError, match=r"x-ray|strength"):
        Camera(frozenset(models), strength)
