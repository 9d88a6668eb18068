"""Photographs whose local mean was subtracted before they came: a person decides, or the policy accepts them."""

import numpy as np
import pytest

from benchmarks.retina_views import ENHANCED, VIEWS
from dr_pipeline.errors import ParamsError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.already_enhanced import ACCEPT, ALREADY_ENHANCED, require_policy
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus, encode, with_tissue

FUNDUS = with_tissue(draw_fundus(1000, 800, 500, 400, 380))


@pytest.mark.parametrize("kind", ENHANCED)
def test_a_person_decides_unless_the_policy_accepts(kind):
    data = encode(ENHANCED[kind](FUNDUS), ".png")
    quality = PixelPath(256).process(data).quality
    assert quality.status is Status.UNGRADABLE
    assert quality.reasons[-1] == ALREADY_ENHANCED
    accepted = PixelPath(256, already_enhanced=ACCEPT).process(data).quality
    assert accepted.status is Status.SCORED, accepted
    assert ALREADY_ENHANCED in accepted.reasons


@pytest.mark.parametrize("view", VIEWS)
def test_a_plain_photograph_is_the_same_under_both_policies(view):
    data = encode(VIEWS[view](FUNDUS), ".png")
    qualities = [PixelPath(256, already_enhanced=policy).process(data).quality for policy in ("person", "accept")]
    assert qualities[0] == qualities[1]
    assert ALREADY_ENHANCED not in qualities[0].reasons


def test_grey_haze_without_detail_is_not_taken_for_it():
    flat = np.where(FUNDUS.max(axis=2, keepdims=True) > 12, FUNDUS * 0.05 + 120, 0).astype(np.uint8)
    assert ALREADY_ENHANCED not in PixelPath(256).process(encode(flat, ".png")).quality.reasons


def test_noise_and_a_grey_scan_about_middle_grey_are_not_taken_for_it():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (600, 600, 3)).astype(np.uint8)
    grey = np.clip(128 + rng.normal(0, 20, (500, 900, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
    for picture in (noise, grey):
        quality = PixelPath(256).process(encode(picture, ".png")).quality
        assert quality.status is Status.NOT_FUNDUS, quality


def test_photographs_and_their_enhanced_copies(cameras_dir):
    kinds, named = list(ENHANCED), []
    for number, path in enumerate(sorted((cameras_dir / "photographs").iterdir())[::9]):
        assert ALREADY_ENHANCED not in PixelPath(256).process(path.read_bytes()).quality.reasons, path.name
        pixels = decode(path.read_bytes(), 256).pixels
        enhanced = encode(ENHANCED[kinds[number % len(kinds)]](pixels), ".png")
        named.append(ALREADY_ENHANCED in PixelPath(256).process(enhanced).quality.reasons)
    assert np.mean(named) >= 0.9


def test_an_unknown_policy_is_an_error():
    with pytest.raises(ParamsError, match="guess"):
        require_policy("guess")
