"""Near duplicates: every copy is found, whatever its file went through; no two photographs are taken for one."""

import json
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.audit import image_similarity as likeness
from dr_pipeline.audit.near_duplicates import MIN_CORRELATION, RADIUS, NearDuplicate, find_near_duplicates
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.enhancement import ENHANCEMENTS, enhance
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.perceptual_hash import perceptual_hash, turn_square
from tests.factories.drawings import Pixels, draw_fundus, jpeg

pytestmark = pytest.mark.slow

SIDE = 256
FUNDUS = draw_fundus(1000, 800, 500, 400, 450, seed=1)


def canvas(data: bytes, side: int = SIDE) -> Pixels:
    decoded = decode(data, side)
    return to_canvas(decoded.pixels, find_disc(decoded.pixels), side)


def resized(picture: Pixels, factor: float) -> Pixels:
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def cropped(picture: Pixels) -> Pixels:
    y, x = (round(0.015 * side) for side in picture.shape[:2])
    return np.ascontiguousarray(picture[y:-y, x:-x])


COPIES = {
    "recompressed": lambda picture: jpeg(picture, 40),
    "halved": lambda picture: jpeg(resized(picture, 0.5), 90),
    "resized": lambda picture: jpeg(resized(picture, 0.8), 90),
    "cropped": lambda picture: jpeg(cropped(picture), 90),
    "brightened": lambda picture: jpeg(cv2.convertScaleAbs(picture, alpha=1.2, beta=10), 90),
    "darkened": lambda picture: jpeg(cv2.convertScaleAbs(picture, alpha=0.7), 90),
    **{f"turned {turn}": lambda picture, turn=turn: jpeg(turn_square(picture, turn), 90) for turn in range(1, 8)},
}


def search(canvases: dict[str, Pixels], arm: str = "none") -> list[NearDuplicate]:
    hashes = {name: perceptual_hash(picture) for name, picture in canvases.items()}
    return find_near_duplicates(hashes, lambda name: enhance(canvases[name], arm))


def clean(count: int) -> dict[str, Pixels]:
    """Photographs of one camera, every second mirrored like a fellow eye."""
    drawn = {f"eye{seed}": draw_fundus(1000, 800, 500, 400, 450, seed=seed) for seed in range(1, count + 1)}
    return {name: canvas(jpeg(turn_square(picture, at % 2), 90)) for at, (name, picture) in enumerate(drawn.items())}


@pytest.fixture(scope="module")
def eyes() -> dict[str, Pixels]:
    return clean(24)


@pytest.mark.parametrize("way", COPIES)
def test_each_kind_of_copy_is_found_and_nothing_else(way, eyes):
    (pair,) = search({**eyes, "copy": canvas(COPIES[way](FUNDUS))})
    assert (pair.first, pair.second) == ("copy", "eye1")
    assert pair.distance <= RADIUS
    assert MIN_CORRELATION <= pair.correlation <= 1.0


@pytest.mark.parametrize("turn", range(8))
def test_the_turn_makes_the_first_the_second(turn, eyes):
    original = eyes["eye1"]
    (pair,) = search({"a": original, "b": turn_square(original, turn)})
    assert np.array_equal(turn_square(original, pair.turn), turn_square(original, turn))
    (pair,) = search({"b": original, "a": turn_square(original, turn)})
    assert np.array_equal(turn_square(turn_square(original, turn), pair.turn), original)


@pytest.mark.parametrize("arm", ENHANCEMENTS)
def test_an_arm_changes_nothing(arm, eyes):
    copies = {f"{way} copy": canvas(COPIES[way](FUNDUS)) for way in ("recompressed", "halved", "cropped", "brightened")}
    pairs = search({**eyes, **copies}, arm)
    partners = {({pair.first, pair.second} - {"eye1"}).pop() for pair in pairs if "eye1" in (pair.first, pair.second)}
    assert partners == set(copies)
    assert all({pair.first, pair.second} <= {"eye1", *copies} for pair in pairs)


def test_the_order_of_the_photographs_does_not_matter(eyes):
    canvases = {**eyes, "copy": canvas(COPIES["halved"](FUNDUS)), "another": canvas(COPIES["recompressed"](FUNDUS))}
    backwards = dict(reversed(canvases.items()))
    assert search(canvases) == search(backwards)
    assert [(p.first, p.second) for p in search(canvases)] == [
        ("another", "copy"),
        ("another", "eye1"),
        ("copy", "eye1"),
    ]


def test_equal_hashes_alone_prove_nothing(eyes):
    same_hash = dict.fromkeys(list(eyes)[:20], perceptual_hash(eyes["eye1"]))
    assert find_near_duplicates(same_hash, eyes.__getitem__) == []


def test_a_hash_of_nothing_is_like_no_other(eyes):
    def refuse(name: str) -> Pixels:
        raise AssertionError(f"{name} was read")

    assert find_near_duplicates({"a": "0" * 64, "b": "0" * 64, "c": "", "d": ""}, refuse) == []


def test_a_malformed_hash_is_refused(eyes):
    with pytest.raises(DataError, match="perceptual hash"):
        find_near_duplicates({"a": "12"}, eyes.__getitem__)


@pytest.mark.parametrize("noise", [0, 3])
def test_a_thousand_copies_are_connected_without_comparing_all_pairs(noise, eyes, monkeypatch):
    rng = np.random.default_rng(5)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(perceptual_hash(eyes["eye1"])), np.uint8))
    hashes = {}
    for number in range(1000):
        copy = bits.copy()
        copy[rng.permutation(256)[:noise]] ^= 1
        hashes[f"copy{number:04}"] = np.packbits(copy).tobytes().hex()
    calls = 0

    def counted(*args):
        nonlocal calls
        calls += 1
        return likeness.correlation(*args)

    monkeypatch.setattr("dr_pipeline.audit.near_duplicates.correlation", counted)
    pairs = find_near_duplicates(hashes, lambda name: eyes["eye1"])
    linked = {"copy0000"}
    waiting = {(pair.first, pair.second) for pair in pairs}
    while reached := {pair for pair in waiting if linked & set(pair)}:
        linked |= {name for pair in reached for name in pair}
        waiting -= reached
    assert linked == set(hashes)
    assert calls < 2500


def test_likeness_needs_something_seen_in_both(eyes):
    features = likeness.features(eyes["eye1"])
    assert likeness.correlation(features, np.zeros_like(features), 0.5) == 0.0
    assert likeness.correlation(features, features, 0.5) == pytest.approx(1.0)


def idrid_paths(folder: Path, numbers: list[int]) -> dict[str, Path]:
    wanted = {f"IDRiD_{number:03}" for number in numbers}
    return {path.stem: path for path in sorted(folder.rglob("*.jpg")) if path.stem in wanted}


def test_idrid_copies_are_found_and_two_exposures_of_one_eye_are_not(idrid_dir):
    identical = [(21, 391), (28, 327)]
    one_eye_twice = [(13, 397), (43, 401)]
    numbers = sorted({number for pair in identical + one_eye_twice for number in pair} | {77, 137, 153, 171})
    paths = idrid_paths(idrid_dir, numbers)
    canvases = {name: canvas(path.read_bytes()) for name, path in paths.items()}
    expected = {tuple(f"IDRiD_{number:03}" for number in pair) for pair in identical}
    for at, name in enumerate(["IDRiD_077", "IDRiD_137", "IDRiD_153"]):
        picture = decode(paths[name].read_bytes(), 4096).pixels
        for way in ("recompressed", "halved", "cropped", "brightened", f"turned {at + 4}"):
            canvases[f"{name} {way}"] = canvas(COPIES[way](picture))
            expected.add((name, f"{name} {way}"))
    pairs = {(pair.first, pair.second) for pair in search(canvases)}
    assert expected <= pairs, json.dumps(sorted(expected - pairs))
    assert {pair for pair in pairs if pair[0][:9] != pair[1][:9]} == expected & {p for p in pairs if p[1][9:] == ""}
