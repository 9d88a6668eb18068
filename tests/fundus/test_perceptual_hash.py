"""The perceptual hash: similar for copies, different for others, and turned without the picture."""

import numpy as np
import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.perceptual_hash import (
    HASH_BITS,
    NUM_TURNS,
    hash_words,
    inverse_turn,
    perceptual_hash,
    turn_hashes,
    turn_square,
)
from tests.factories.drawings import Pixels, draw_fundus, unturned

DISC = Disc(500, 400, 450, CIRCLE)  # cut off by the frame above and below
FUNDUS = draw_fundus(1000, 800, 500, 400, 450)
# The audit's radius: copies must be well within it, others well beyond.
RADIUS = 31


def canvas(picture: Pixels = FUNDUS, side: int = 512) -> Pixels:
    return to_canvas(picture, DISC, side)


def bits_between(first: Pixels, second: Pixels) -> int:
    words = hash_words([perceptual_hash(first), perceptual_hash(second)])
    return int(np.bitwise_count(words[0] ^ words[1]).sum())


def test_sixty_four_lower_case_digits_the_same_every_time():
    value = perceptual_hash(canvas())
    assert len(value) == HASH_BITS // 4
    assert set(value) <= set("0123456789abcdef")
    assert value == perceptual_hash(canvas())


@pytest.mark.parametrize("side", [256, 299, 384])
def test_the_canvas_side_hardly_matters(side):
    assert bits_between(canvas(), canvas(side=side)) <= 12


@pytest.mark.parametrize(("gain", "offset"), [(1.08, 0), (1.2, 10), (0.6, 0)])
def test_brightness_hardly_matters(gain, offset):
    assert bits_between(canvas(), canvas(cv2.convertScaleAbs(FUNDUS, alpha=gain, beta=offset))) <= 12


def test_a_copy_whose_frame_cuts_more_off_stays_near():
    cropped = FUNDUS.copy()
    cropped[:24] = cropped[-24:] = 0
    assert bits_between(canvas(), canvas(cropped)) <= 12


def test_other_eyes_and_the_mirrored_eye_are_far():
    others = [canvas(draw_fundus(1000, 800, 500, 400, 450, seed=seed)) for seed in range(1, 9)]
    assert min(bits_between(canvas(), other) for other in [*others, turn_square(canvas(), 1)]) > RADIUS


@pytest.mark.parametrize("turn", range(NUM_TURNS))
@pytest.mark.parametrize("side", [256, 300, 512])
def test_the_bits_turn_as_the_picture_does(turn, side):
    plain = hash_words([perceptual_hash(canvas(side=side))])
    expected = hash_words([perceptual_hash(turn_square(canvas(side=side), turn))])
    assert np.bitwise_count(turn_hashes(plain, turn) ^ expected).sum() <= 1  # a coefficient next to 0 may round over
    assert np.array_equal(turn_hashes(turn_hashes(plain, turn), inverse_turn(turn)), plain)


def test_the_turns_are_those_of_exif():
    picture = canvas(side=64)
    stored = {unturned(picture, orientation).tobytes() for orientation in range(1, 9)}
    assert stored == {turn_square(picture, turn).tobytes() for turn in range(NUM_TURNS)}


@pytest.mark.parametrize("level", [0, 100])
def test_a_canvas_that_shows_nothing_has_the_hash_zero(level):
    assert perceptual_hash(canvas(np.full_like(FUNDUS, level))) == "0" * 64


def test_words_preserve_order_and_bits():
    words = hash_words(["0" * 64, "f" * 64, "0" * 63 + "1"])
    assert words.shape == (3, 4)
    assert np.bitwise_count(words).sum(axis=1).tolist() == [0, 256, 1]
    assert hash_words([]).shape == (0, 4)


@pytest.mark.parametrize("value", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 63 + "\n", "A" * 64])
def test_what_is_no_hash_is_refused(value):
    with pytest.raises(DataError, match="perceptual hash"):
        hash_words(["0" * 64, value])
