"""Augmentation: the same picture for the same seed, no canvas changed into another grade."""

import os
import subprocess
import sys

import numpy as np
import pytest

from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.training import Augmentation, Training
from dr_pipeline.training.data.augmentation import HOLE_SIDE, HOLES, augmenter
from tests.factories import REPOSITORY

AUGMENTATION = load_section(REPOSITORY / "params.yaml", "training", Training).augmentation
ALL_OFF = Augmentation(
    rotation_deg=0.0, flip=False, scale=0.0, translation=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0,
    blur_probability=0.0, jpeg_probability=0.0, coarse_dropout_probability=0.0,
)  # fmt: skip
EVERYTHING = Augmentation(
    rotation_deg=180.0, flip=True, scale=0.1, translation=0.05, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05,
    blur_probability=0.5, jpeg_probability=0.5, coarse_dropout_probability=0.5, camera=1.0,
)  # fmt: skip


def noise(side: int = 48) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)


def disc(side: int) -> np.ndarray:
    """A retina of one level on black."""
    return np.repeat((disc_mask(side) > 0).astype(np.uint8)[..., None] * 200, 3, axis=2)


def only(**changes: object) -> Augmentation:
    return ALL_OFF.model_copy(update=changes)


@pytest.mark.parametrize("seed", range(6))
def test_the_image_depends_on_the_seed_alone(seed: int) -> None:
    first, second = augmenter(EVERYTHING), augmenter(EVERYTHING)
    second(noise(), seed + 100)
    assert np.array_equal(first(noise(), seed), second(noise(), seed))
    assert not np.array_equal(first(noise(), seed), first(noise(), seed + 1))


def test_the_input_canvas_is_not_modified() -> None:
    canvas = noise()
    for seed in range(4):
        augmenter(EVERYTHING)(canvas, seed)
        augmenter(only(coarse_dropout_probability=1.0))(canvas, seed)
    assert np.array_equal(canvas, noise())


def test_shape_and_type_are_preserved_and_augmentation_can_be_disabled() -> None:
    changed = augmenter(EVERYTHING)(noise(), 1)
    assert changed.shape == noise().shape
    assert changed.dtype == np.uint8
    assert np.array_equal(augmenter(ALL_OFF)(noise(), 1), noise())


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_deg": 90.0}, {"flip": True}, {"scale": 0.2}, {"translation": 0.2}, {"brightness": 0.3},
        {"contrast": 0.3}, {"saturation": 0.3}, {"hue": 0.1}, {"blur_probability": 1.0}, {"jpeg_probability": 1.0},
        {"coarse_dropout_probability": 1.0}, {"camera": 1.0},
    ],
)  # fmt: skip
def test_each_augmentation_parameter_has_an_effect(change: dict[str, object]) -> None:
    augment = augmenter(only(**change))
    assert any(not np.array_equal(augment(noise(), seed), noise()) for seed in range(8))


@pytest.mark.parametrize("name", ["blur_probability", "jpeg_probability", "coarse_dropout_probability"])
def test_a_probability_is_that_of_a_photograph(name: str) -> None:
    augment = augmenter(only(**{name: 0.3}))
    changed = sum(not np.array_equal(augment(noise(32), seed), noise(32)) for seed in range(300))
    assert 0.2 < changed / 300 < 0.4


def test_the_disc_stays_in_view() -> None:
    """A white disc stays mostly in view at the default strengths: no crop takes the periphery away."""
    augment = augmenter(AUGMENTATION)
    shares = [(augment(disc(128), seed)[..., 0] > 60).sum() / (disc(128)[..., 0] > 0).sum() for seed in range(50)]
    assert min(shares) > 0.8


def test_scale_draws_width_and_height_independently() -> None:
    """The stretch is intended: see Augmentation."""
    augment, square = augmenter(only(scale=0.2)), np.zeros((128, 128, 3), np.uint8)
    square[32:96, 32:96] = 255
    sides = []
    for seed in range(100):
        changed = augment(square, seed)[..., 0] / 255
        sides.append((changed.sum(axis=1).max() / 64, changed.sum(axis=0).max() / 64))
    width, height = np.array(sides).T
    for factor in (width, height):
        assert factor.min() < 0.85
        assert factor.max() > 1.15
    assert abs(np.corrcoef(width, height)[0, 1]) < 0.3


COLOURS = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "blur_probability": 1.0, "jpeg_probability": 1.0}
COLOURS["camera"] = 1.0


def test_the_surroundings_of_the_disc_stay_black() -> None:
    """Contrast alone would lift it to 25 of 255; blur and JPEG would spill into it."""
    augment, full = augmenter(only(**COLOURS)), disc(128)
    full[:20] = 0  # the camera's frame cuts it off
    beside = full[..., 0] == 0
    for seed in range(30):
        changed = augment(full, seed)
        assert not changed[beside].any()
        assert not np.array_equal(changed, full)


def test_the_surroundings_of_a_moved_disc_stay_black() -> None:
    moves = {"rotation_deg": 180.0, "scale": 0.1, "translation": 0.05, "flip": True}
    moved_only, both, full = augmenter(only(**moves)), augmenter(only(**moves, **COLOURS)), disc(128)
    for seed in range(10):
        moved, changed = moved_only(full, seed), both(full, seed)
        assert not np.array_equal(moved, changed)
        assert not changed[~moved.any(axis=2)].any()


def test_black_inside_the_disc_may_change() -> None:
    augment, full = augmenter(only(**COLOURS)), disc(128)
    full[60:63, 60:63] = 0
    assert all(augment(full, seed)[60:63, 60:63].any() for seed in range(10))


def test_blur_and_jpeg_are_drawn_independently() -> None:
    """With one seed for all, each transform would draw the same numbers."""
    blur, jpeg = augmenter(only(blur_probability=0.5)), augmenter(only(blur_probability=0.5, jpeg_probability=0.5))
    canvas = noise(32)
    kinds = {
        (np.array_equal(blur(canvas, seed), canvas), np.array_equal(blur(canvas, seed), jpeg(canvas, seed)))
        for seed in range(60)
    }
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


def test_coarse_dropout_changes_only_a_few_small_holes() -> None:
    """So a photograph seldom loses its only lesion: 1 % of the disc on average, 3.3 % at most."""
    augment, full = augmenter(only(coarse_dropout_probability=1.0)), disc(256)
    inside = full[..., 0] > 0
    lost = []
    for seed in range(200):
        changed = augment(full, seed)
        hole = inside & (changed[..., 0] == 0)
        assert np.array_equal(changed[~hole], full[~hole])
        assert (changed[hole] == 0).all()
        lost.append(hole.sum() / inside.sum())
    assert max(lost) <= HOLES[1] * HOLE_SIDE[1] ** 2 / inside.mean() + 1e-9 < 0.034
    assert 0.007 < np.mean(lost) < 0.013
    assert min(lost) < 0.005


def test_coarse_dropout_works_on_the_smallest_canvas() -> None:
    augment, white = augmenter(only(coarse_dropout_probability=1.0)), np.full((32, 32, 3), 255, np.uint8)
    for seed in range(20):
        assert 1 <= (augment(white, seed)[..., 0] == 0).sum() <= HOLES[1] * 2 * 2


def test_nothing_is_asked_of_a_server_when_it_is_imported() -> None:
    code = (
        "import urllib.request as u; u.OpenerDirector.open = lambda *_, **__: print('asked');"
        "import dr_pipeline.training.data.augmentation"
    )
    plain = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    ran = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert ran.stdout == ""
