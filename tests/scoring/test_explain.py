"""From a photograph to what raised its grade, in its own pixels; whatever the file is."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline import cli
from dr_pipeline.deployment.formats.attribution_part import attribution_part
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.kinds import FIBROUS_TISSUE, KINDS, OPTIC_DISC
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.scoring.explain import METHODS, Explainer, attribution_map
from dr_pipeline.scoring.lesion_masks import LesionMasks
from dr_pipeline.scoring.overlay import captioned, overlay
from dr_pipeline.scoring.scorer import Scorer
from tests.factories.bundles import make_bundle, onnx_model, photograph
from tests.factories.drawings import encode
from tests.factories.small_networks import blue_network

DOT = (120, 150)  # x and y on the photograph of 316 × 276 px
RADIUS = 14


def with_dot(seed: int = 1) -> bytes:
    """A drawn fundus with a place bluer than all others."""
    pixels = decode(photograph(seed), 1 << 16).pixels.copy()
    cv2.circle(pixels, DOT, RADIUS, (10, 10, 250), -1, cv2.LINE_AA)
    return encode(pixels, ".png")


def mask_of_dot(height: int = 276, width: int = 316) -> bytes:
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, DOT, RADIUS, 255, -1)
    return encode(mask, ".png", cv2.IMWRITE_PNG_BILEVEL, 1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = blue_network(px=32, stride=1, pads=(1, 1, 1, 1)).SerializeToString()
    root = tmp_path_factory.mktemp("made") / "release"
    return make_bundle(root, model=network, explain=attribution_part(network))


@pytest.fixture(scope="module")
def plain_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without explain.onnx."""
    return make_bundle(tmp_path_factory.mktemp("made") / "release", model=onnx_model())


@pytest.mark.parametrize("method", METHODS)
def test_the_strongest_place_is_the_one_that_raises_the_severity(bundle: Path, method: str) -> None:
    explainer = Explainer.from_bundle(bundle, threads=1, method=method)
    assert explainer.method == method
    explanation = explainer.explain(with_dot())
    assert explanation.score == Scorer.from_bundle(bundle, threads=1).score(with_dot())
    found = explanation.original_map()
    assert found.shape == (276, 316)
    assert np.hypot(*(np.array(explanation.peak()) - DOT)) <= 2 * RADIUS
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert np.hypot(column - explanation.peak()[0], row - explanation.peak()[1]) <= 4


def test_a_file_that_is_no_photograph_has_a_reason_and_no_map(bundle: Path) -> None:
    explanation = Explainer.from_bundle(bundle, threads=1).explain(b"no photograph")
    assert explanation.score.status is Status.FAILED
    assert explanation.canvas_map is None
    with pytest.raises(ValueError, match="not graded"):
        explanation.peak()


def test_without_a_second_output_it_is_occlusion_unless_that_was_not_asked_for(plain_bundle: Path) -> None:
    assert Explainer.from_bundle(plain_bundle, threads=1).method == "occlusion"
    assert attribution_map(plain_bundle) is None
    with pytest.raises(BundleError, match=r"has no explain\.onnx"):
        Explainer.from_bundle(plain_bundle, threads=1, method="attribution")


def explained(*words: object) -> int:
    return cli.main(["explain", *map(str, words)])


def test_pictures_list_and_figures_of_a_folder(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, masks, out = tmp_path / "site", tmp_path / "masks", tmp_path / "out"
    (site / "a").mkdir(parents=True)
    masks.mkdir()
    (site / "José 1.png").write_bytes(with_dot(1))
    (site / "a" / "José 1.png").write_bytes(with_dot(2))
    (site / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (masks / "José 1_MA.png").write_bytes(mask_of_dot())
    assert explained(site, "--bundle", bundle, "--out", out, "--masks", masks) == 0
    printed = capsys.readouterr()
    assert "José" not in printed.out + printed.err
    assert "2 scored" in printed.out
    assert "1 failed" in printed.out
    assert "Research use only" in printed.out
    assert sorted(path.name for path in out.iterdir()) == ["Jos__1-2.png", "Jos__1.png", "explanations.json"]
    for path in (out, *out.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    drawn = cv2.imread(str(out / "Jos__1.png"))
    assert drawn.shape[0] > 276
    assert drawn.shape[1:] == (480, 3)  # the caption is wider than the photograph
    assert not drawn[:276, 316:].any()
    report = json.loads((out / "explanations.json").read_text())
    rows = {row["file"]: row for row in report["photographs"]}
    assert rows["broken.jpg"] == {"file": "broken.jpg", "status": "failed", "reason": rows["broken.jpg"]["reason"]}
    assert rows["José 1.png"]["strongest"]["x"] == pytest.approx(DOT[0], abs=RADIUS)
    assert report["localisation"]["attribution"]["pointing_game"]["value"] == 1
    assert report["localisation"]["centre_prior"]["pointing_game"]["value"] == 0


def test_a_photograph_too_long_to_draw_has_its_line_and_a_reason(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dr_pipeline.scoring.explain_files._MAX_DRAWN_PX", 300)
    (tmp_path / "one.png").write_bytes(with_dot())
    assert explained(tmp_path / "one.png", "--bundle", bundle, "--out", tmp_path / "out") == 0
    (row,) = json.loads((tmp_path / "out" / "explanations.json").read_text())["photographs"]
    assert (row["status"], row["reason"]) == ("scored", "a side of more than 300 px is not drawn")
    assert "picture" not in row


def test_masks_of_other_sides_or_none_are_errors(bundle: Path, tmp_path: Path) -> None:
    site, masks = tmp_path / "site", tmp_path / "masks"
    site.mkdir()
    masks.mkdir()
    (site / "one.png").write_bytes(with_dot())
    with pytest.raises(DataError, match="no mask"):
        LesionMasks([masks])
    (masks / "one.png").write_bytes(mask_of_dot(100, 120))
    with pytest.raises(DataError, match="120 × 100 px for a photograph of 316 × 276"):
        LesionMasks([masks]).read("one.png", 276, 316)
    out = tmp_path / "out"
    assert explained(site, "--bundle", bundle, "--out", out, "--masks", masks) == 2
    (masks / "one.png").rename(masks / "two.png")
    assert explained(site, "--bundle", bundle, "--out", out, "--masks", masks) == 2


def test_masks_of_several_lesions_are_one_and_an_optic_disc_is_none(tmp_path: Path) -> None:
    for name, place in (("p_MA", 10), ("p_ex", 30), ("p_OD", 50)):
        mask = np.zeros((80, 90), np.uint8)
        mask[place : place + 4, place : place + 4] = 1  # as in a palette picture: not black is enough
        (tmp_path / f"{name}.tif").write_bytes(encode(mask, ".tif"))
    lesions = LesionMasks([tmp_path]).read("p.jpg", 80, 90)
    assert lesions is not None
    assert lesions[10, 10]
    assert lesions[33, 33]
    assert lesions.sum() == 32
    assert LesionMasks([tmp_path]).read("q.jpg", 80, 90) is None


def test_a_mask_that_is_mostly_lesion_is_none(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(encode(np.full((80, 90, 3), 90, np.uint8), ".png"))  # the photograph itself
    mask = np.full((80, 90), 255, np.uint8)
    mask[10:20] = 0
    (tmp_path / "q.png").write_bytes(encode(mask, ".png"))
    for name, share in (("p.jpg", 100), ("q.jpg", 88)):
        with pytest.raises(DataError, match=f"lesions in {share} % of the picture: the mask seems to be inverted"):
            LesionMasks([tmp_path]).read(name, 80, 90)


def test_names_of_masks_are_compared_without_case_and_composition(tmp_path: Path) -> None:
    mask = np.zeros((80, 90), np.uint8)
    mask[10] = 255
    (tmp_path / "mu\u0308ller_EX.PNG").write_bytes(encode(mask, ".png"))
    masks = LesionMasks([tmp_path])
    assert masks.has("Müller.JPG")
    lesions = masks.read("Müller.JPG", 80, 90)
    assert lesions is not None
    assert lesions.sum() == 90


def test_of_the_phantom_s_masks_the_landmarks_are_no_lesions(tmp_path: Path) -> None:
    bits = np.zeros((80, 90), np.uint16)
    bits[40:60, 40:60] = 1 << OPTIC_DISC.bit
    for name, bit in (("healthy", OPTIC_DISC.bit), ("sick", FIBROUS_TISSUE.bit)):
        bits[50:53, 50:53] |= 1 << bit
        (tmp_path / f"{name}.png").write_bytes(encode(bits, ".png"))
    masks = LesionMasks([tmp_path])
    assert masks.read("healthy.jpg", 80, 90) is None
    lesions = masks.read("sick.jpg", 80, 90)
    assert lesions is not None
    assert lesions.sum() == 9


def test_a_map_that_is_nowhere_above_zero_leaves_the_photograph_as_it_is() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    assert np.array_equal(overlay(rgb, np.full((90, 120), -1, np.float32)), rgb)
    assert np.array_equal(overlay(rgb, np.zeros((90, 120), np.float32)), rgb)


def test_the_drawing_changes_the_strong_places_alone() -> None:
    rgb = np.full((400, 600, 3), 90, np.uint8)
    found = np.full((400, 600), 0.05, np.float32)
    found[100:120, 200:220] = 1
    changed = (overlay(rgb, found) != rgb).any(axis=2)
    assert changed[100:120, 200:220].all()
    assert not changed[:90].any()
    assert not changed[130:].any()


LEGEND = [(kind.colour, f"{kind.name}: 120") for kind in KINDS if kind.is_lesion]


@pytest.mark.parametrize(
    ("height", "width", "capital_px"), [(132, 200, 12), (400, 600, 12), (2848, 4288, 57), (3000, 90, 12)]
)
def test_legend_and_caption_lie_below_the_picture_and_are_legible(height: int, width: int, capital_px: int) -> None:
    rgb = np.random.default_rng(0).integers(1, 255, (height, width, 3)).astype(np.uint8)
    whole = captioned(rgb, f"{'hemorrhages (45), ' * 20}\n{RESEARCH_USE}", LEGEND)
    assert whole.shape[1] == max(width, 480)
    assert np.array_equal(whole[:height, :width], rgb)
    assert not whole[:height, width:].any()
    strip = whole[height:]
    swatch = (strip == LEGEND[0][0]).all(axis=2)
    assert swatch.any(axis=1).sum() == swatch.any(axis=0).sum() == capital_px + 1
    assert not strip[:, -capital_px // 3 :].any()  # nothing is cut off
    written = strip.min(axis=2).max(axis=1) > 100  # white
    lines = np.flatnonzero(np.diff(np.concatenate([[False], written, [False]]).astype(int)))
    heights = lines[1::2] - lines[::2]
    assert len(heights) >= 4  # legend, two lines of the caption at least, and the use
    assert (heights >= 0.7 * capital_px).all()


def test_without_a_legend_the_strip_is_the_caption() -> None:
    rgb = np.full((300, 500, 3), 90, np.uint8)
    once, twice = captioned(rgb, "grade 2"), captioned(rgb, "grade 2\ngrade 2")
    assert 300 < len(once) < len(twice) < 360
