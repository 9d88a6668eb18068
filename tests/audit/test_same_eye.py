"""One eye photographed twice is found, whatever moved and whatever the light; fellow eyes and strangers are not."""

import random
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.audit import feature_index
from dr_pipeline.audit.duplicates import Cluster, Duplicates
from dr_pipeline.audit.eye_match import MIN_POINTS, Alignment, aligned_correlation
from dr_pipeline.audit.feature_index import _smallest, candidate_pairs
from dr_pipeline.audit.image_similarity import features as contrast_of
from dr_pipeline.audit.retinal_features import MAX_FEATURES, SIDE_PX, retinal_features, squared_distances
from dr_pipeline.audit.same_eye import SameEyePair, find_same_eyes, group_pairs, same_eye_groups
from dr_pipeline.fundus.canvas import disc_radius_px, to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.enhancement import enhance
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from tests.factories.audit_tables import inputs_of, params
from tests.factories.drawings import draw_fundus
from tests.factories.retakes import Pixels, View, relight, retake, take, with_dust

pytestmark = pytest.mark.slow

SIDE = 256
# Looked at: one eye in another light, gaze or year.
IDRID_PAIRS = [(13, 397), (38, 126), (43, 401), (46, 404), (133, 282), (319, 338), (339, 354)]
# Of one camera with the pairs; the first two are the strangers whose features agree most.
IDRID_STRANGERS = [121, 288, 268, 317, 2, 77, 137, 153, 171, 200, 250, 300]
# The views of a retake that is as far from the other as an examination has them.
VIEWS = {
    "shifted": View(0.4, 0.1, 1.0, 0.0),
    "macula- and disc-centred": View(0.6, -0.1, 1.0, 0.0),
    "rotated": View(0.05, 0.1, 1.0, 15.0),
    "nearer": View(0.1, 0.0, 0.8, 0.0),
    "wider": View(0.1, 0.1, 1.25, 0.0),
    "field of 30° and of 50°": View(0.15, 0.1, 0.6, 3.0),
    "camera upside down": View(0.1, 0.2, 1.0, 179.0),
    "all at once": View(-0.3, 0.2, 0.85, -10.0),
}


def drawn(seed: int, side: int = 640) -> Pixels:
    picture = draw_fundus(side, side, side / 2, side / 2, side * 0.47, seed=seed)
    return to_canvas(picture, find_disc(picture), side)


@pytest.fixture(scope="module")
def eyes() -> dict[str, Pixels]:
    """Canvases larger than those that are searched."""
    return {f"eye{seed}": drawn(seed) for seed in (1, 2, 3, 4, 7, 8, 10, 14)}


def small(picture: Pixels) -> Pixels:
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def found(canvases: dict[str, Pixels]) -> set[tuple[str, str]]:
    return {(pair.first, pair.second) for pair in find_same_eyes(canvases, canvases.__getitem__)}


@pytest.mark.parametrize("view", VIEWS)
def test_each_kind_of_retake_is_found_and_nothing_else(view: str, eyes: dict[str, Pixels]) -> None:
    canvases = {name: small(eye) for name, eye in eyes.items()}
    canvases["retake"] = small(relight(take(eyes["eye8"], VIEWS[view], 640), np.random.default_rng(1)))
    (pair,) = find_same_eyes(canvases, canvases.__getitem__)
    assert (pair.first, pair.second) == ("eye8", "retake")
    assert pair.rotation_deg == pytest.approx(VIEWS[view].rotation_deg, abs=1.5)
    assert pair.scale == pytest.approx(1 / VIEWS[view].radius, rel=0.03)
    distance = np.hypot(VIEWS[view].x, VIEWS[view].y) / 2 / VIEWS[view].radius
    assert pair.shift == pytest.approx(distance, abs=0.02)


def test_only_pairs_with_some_photographs_are_looked_for(eyes: dict[str, Pixels]) -> None:
    canvases = {name: small(eyes[name]) for name in ("eye1", "eye8", "eye3")}
    for name in ("eye1", "eye8"):
        canvases[f"{name} again"] = small(take(eyes[name], VIEWS["shifted"], 640))
    (pair,) = find_same_eyes(canvases, canvases.__getitem__, of={"eye8 again", "eye3"})
    assert (pair.first, pair.second) == ("eye8", "eye8 again")


def test_fellow_eyes_and_strangers_are_not_one_eye(eyes: dict[str, Pixels]) -> None:
    """A fellow eye is at best the mirror image."""
    right = {f"{name} right": small(eye) for name, eye in eyes.items()}
    left = {f"{name} left": np.ascontiguousarray(small(eye)[:, ::-1]) for name, eye in eyes.items()}
    assert found(right | left) == set()


def test_dust_of_the_camera_is_no_retina(eyes: dict[str, Pixels]) -> None:
    dusty = {name: small(with_dust(eye, seed=1)) for name, eye in eyes.items()}
    dusty["retake"] = small(with_dust(take(eyes["eye8"], VIEWS["shifted"], 640), seed=1))
    assert found(dusty) == {("eye8", "retake")}


def test_marks_of_the_camera_do_not_decide(eyes: dict[str, Pixels]) -> None:
    """A faint retina under heavy dust: the dust, which stays, must neither part one eye nor join two."""
    faint = {name: np.rint(60 + 0.25 * eyes[name].astype(np.float32)).astype(np.uint8) for name in ("eye8", "eye3")}
    one, other, stranger = (
        contrast_of(small(with_dust(take(eye, view, 640), seed=2, count=60)))
        for eye, view in ((faint["eye8"], View()), (faint["eye8"], VIEWS["shifted"]), (faint["eye3"], View()))
    )
    shift_px = VIEWS["shifted"].x * disc_radius_px(SIDE_PX), VIEWS["shifted"].y * disc_radius_px(SIDE_PX)
    moved = Alignment(np.array([[1, 0, -shift_px[0]], [0, 1, -shift_px[1]]]), MIN_POINTS)
    assert aligned_correlation(moved, one, other) > 0.6
    assert aligned_correlation(moved, one, stranger) < 0.3
    at_rest = Alignment(np.eye(2, 3), MIN_POINTS)
    assert aligned_correlation(at_rest, one, one) == pytest.approx(1, abs=1e-3)  # all alike, and no mark


@pytest.mark.parametrize("enhancement", ["ben_graham", "clahe", "green"])
def test_an_enhancement_changes_nothing(enhancement: str, eyes: dict[str, Pixels]) -> None:
    canvases = {name: enhance(small(eye), enhancement) for name, eye in eyes.items()}
    canvases["retake"] = enhance(small(take(eyes["eye8"], VIEWS["all at once"], 640)), enhancement)
    assert found(canvases) == {("eye8", "retake")}


def test_neither_order_nor_threads_change_the_result(eyes: dict[str, Pixels], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    canvases = {name: small(eye) for name, eye in eyes.items()}
    canvases |= {f"{name} again": small(relight(take(eye, VIEWS["wider"], 640), rng)) for name, eye in eyes.items()}
    names = list(canvases)
    first = find_same_eyes(names, canvases.__getitem__)
    random.Random(3).shuffle(names)
    monkeypatch.setattr("dr_pipeline.audit.same_eye.usable_cores", lambda: 7)
    assert find_same_eyes(names, canvases.__getitem__) == first
    assert len(first) >= len(eyes) - 1


def test_photographs_without_a_visible_retina_match_nothing() -> None:
    plain = np.full((SIDE, SIDE, 3), 120, np.uint8)
    canvases = {"black": np.zeros_like(plain), "black too": np.zeros_like(plain), "plain": plain, "plain too": plain}
    assert found(canvases) == set()
    assert find_same_eyes([], canvases.__getitem__) == []


def test_features_lie_within_the_field_and_away_from_its_rim() -> None:
    canvas = small(drawn(8))
    canvas[: SIDE // 5] = 0  # cut off by the frame
    features = retinal_features(canvas)
    assert 50 < len(features.points) <= MAX_FEATURES
    assert np.hypot(*(features.points - SIDE_PX / 2).T).max() < 0.93 * SIDE_PX / 2
    assert features.points[:, 1].min() > SIDE_PX / 5 + 4


def test_distances_are_exact() -> None:
    one = np.random.default_rng(0).integers(0, 256, (5, 128)).astype(np.uint8)
    other = np.full((3, 128), 255, np.uint8)
    exact = ((one[:, None].astype(np.int64) - other[None].astype(np.int64)) ** 2).sum(axis=2)
    assert np.array_equal(squared_distances(one, other), exact)


def test_the_index_names_partners_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a photograph's descriptors are in its partner's, a little changed."""
    monkeypatch.setattr(feature_index, "_MIN_CELL", 64)
    rng = np.random.default_rng(4)
    table = [rng.integers(0, 120, (60, 128)).astype(np.uint8) for _ in range(200)]
    for one in range(0, 200, 2):
        table[one + 1][:30] = np.clip(table[one][:30] + rng.integers(-8, 9, (30, 128)), 0, 255)
    pairs = candidate_pairs(table)
    assert {(one, one + 1) for one in range(0, 200, 2)} <= set(pairs)
    assert len(pairs) <= feature_index.NUM_CANDIDATES * 200
    assert pairs == sorted(pairs)
    empty = np.zeros((0, 128), np.uint8)
    assert candidate_pairs([empty, empty]) == []
    assert candidate_pairs([table[0], empty, table[1]]) == [(0, 2)]


def test_the_smallest_of_each_row() -> None:
    table = np.random.default_rng(0).integers(0, 9, (50, 40)).astype(np.float32)
    columns, values = _smallest(table.copy(), 8)
    assert np.array_equal(columns, np.argsort(table, axis=1, kind="stable")[:, :8])
    assert np.array_equal(values, np.sort(table, axis=1)[:, :8])


def pair(first: str, second: str) -> SameEyePair:
    return SameEyePair(first, second, 20, 0.7, 0.0, 1.0, 0.1)


def test_pairs_join_to_groups_with_their_duplicates() -> None:
    groups = group_pairs([pair("c", "d"), pair("a", "b"), pair("b", "e")], {"b": ("b", "b2"), "x": ("x", "y")})
    assert [(group.name, group.image_ids) for group in groups] == [("a", ("a", "b", "b2", "e")), ("c", ("c", "d"))]
    assert groups[0].pairs == (pair("a", "b"), pair("b", "e"))


def with_canvas(names: str) -> dict[str, dict[str, str]]:
    return {name: {"shard": "shard-00000.tar"} for name in names}


@pytest.mark.parametrize(
    ("search", "patients", "groups"),
    [
        ("auto", ("", ""), 1),
        ("auto", ("p", ""), 1),
        ("auto", ("p", "q"), 0),  # all known: not searched
        ("always", ("p", "q"), 1),
        ("always", ("p", "p"), 0),  # kept together anyway
        ("never", ("", ""), 0),
    ],
)
def test_where_it_is_searched(search: str, patients: tuple[str, str], groups: int, eyes: dict[str, Pixels]) -> None:
    canvases = {"a": small(eyes["eye8"]), "b": small(take(eyes["eye8"], VIEWS["shifted"], 640))}
    photographs = [(name, name, "1", patient, "scored") for name, patient in zip("ab", patients, strict=True)]
    inputs = inputs_of(*photographs, more=with_canvas("ab"))
    result = same_eye_groups(inputs, Duplicates((), (), ()), params(search_same_eye=search), canvases.__getitem__)
    assert [group.image_ids for group in result] == [("a", "b")] * groups


def test_one_of_each_cluster_is_compared_and_all_are_in_the_group(eyes: dict[str, Pixels]) -> None:
    canvases = {"a": small(eyes["eye8"]), "c": small(take(eyes["eye8"], VIEWS["shifted"], 640))}
    photographs = [(name, name, "1", "", "scored") for name in "abc"] + [("f", "f", "", "", "not_fundus")]
    inputs = inputs_of(*photographs, more=with_canvas("abcf"))
    duplicates = Duplicates((("a", "b"),), (), (Cluster("a", ("a", "b"), ()),))
    (group,) = same_eye_groups(inputs, duplicates, params(), canvases.__getitem__)
    assert group.image_ids == ("a", "b", "c")


def canvas_of(path: Path, side: int) -> Pixels:
    pixels = decode(path.read_bytes(), side).pixels
    return to_canvas(pixels, find_disc(pixels), side)


def test_the_eyes_that_idrid_has_twice(idrid_dir: Path) -> None:
    pairs = {tuple(f"IDRiD_{number:03}" for number in pair) for pair in IDRID_PAIRS}
    wanted = {name for pair in pairs for name in pair} | {f"IDRiD_{number:03}" for number in IDRID_STRANGERS}
    canvases = {path.stem: canvas_of(path, SIDE) for path in sorted(idrid_dir.rglob("*.jpg")) if path.stem in wanted}
    assert len(canvases) == len(wanted)
    assert found(canvases) == pairs


def test_retakes_of_other_cameras_eyes_are_found(shared_dir: Path) -> None:
    """Every fifth photograph of ten cameras; two fields of a wider retina, and one that is cut off."""
    folder = shared_dir / "data" / "cameras" / "photographs"
    if not folder.is_dir():
        pytest.skip("the photographs of ten cameras are absent (shared/data/cameras)")
    pictures = {path.stem: canvas_of(path, 768) for path in sorted(folder.iterdir())[::5]}
    rng = np.random.default_rng(5)
    hits = 0
    for field in (0.62, 1.0):
        canvases = {}
        for name, picture in pictures.items():
            canvases[f"{name} 1"], canvases[f"{name} 2"], _ = retake(picture, rng, field=field, side_px=SIDE)
        pairs = found(canvases)
        assert pairs <= {(f"{name} 1", f"{name} 2") for name in pictures}
        hits += len(pairs)
    assert hits >= 0.95 * 2 * len(pictures)
