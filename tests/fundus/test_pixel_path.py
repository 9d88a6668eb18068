"""The pixel path as one object: versioned, deterministic, independent of how a file is stored."""

import numpy as np
import pytest

from dr_pipeline.errors import BundleError, ParamsError
from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.enhancement import enhance
from dr_pipeline.fundus.field import CIRCLE
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PIXEL_PATH_VERSION, PixelPath, model_input
from dr_pipeline.schema import Status
from tests.factories.drawings import (
    canvas_to_original,
    draw_fundus,
    encode,
    exif_block,
    jpeg,
    unturned,
    with_jpeg_exif,
    with_png_chunk,
)

pytestmark = pytest.mark.slow

PICTURE = draw_fundus(900, 700, 455, 352, 330)


def test_a_photograph_has_every_field():
    photograph = PixelPath(200).process(encode(PICTURE, ".png"))
    assert photograph.canvas.shape == (200, 200, 3)
    assert photograph.canvas.dtype == np.uint8
    assert (photograph.width, photograph.height) == (900, 700)
    assert photograph.disc.fit == CIRCLE
    assert photograph.disc.x == pytest.approx(455, abs=3)
    assert photograph.disc.radius == pytest.approx(330, abs=3)
    assert photograph.quality.status is Status.SCORED
    assert (len(photograph.pixel_hash), len(photograph.perceptual_hash)) == (32, 64)
    assert photograph.format == "png"
    assert photograph.annotation is False


def test_enhancement_changes_the_canvas_only():
    data = encode(PICTURE, ".png")
    plain = PixelPath(128).process(data)
    for name in ("ben_graham", "clahe", "green"):
        enhanced = PixelPath(128, name).process(data)
        assert np.array_equal(enhanced.canvas, enhance(plain.canvas, name))
        assert not np.array_equal(enhanced.canvas, plain.canvas)
        for fact in ("width", "height", "format", "pixel_hash", "perceptual_hash", "disc", "annotation", "quality"):
            assert getattr(enhanced, fact) == getattr(plain, fact), (name, fact)


@pytest.mark.parametrize("canvas_px", [700, 400, 200])  # decoded at 1, 1/2 and 1/4
def test_a_point_of_a_heat_map_is_found_in_the_turned_original(canvas_px):
    large = draw_fundus(2400, 1800, 1210, 890, 850)
    cv2.circle(large, (1500, 700), 60, (0, 0, 255), -1)
    photograph = PixelPath(canvas_px).process(with_jpeg_exif(jpeg(unturned(large, 6)), exif_block(6)))
    v, u = np.nonzero(photograph.canvas[..., 2] > 180)
    x, y = canvas_to_original(u.mean() + 0.5, v.mean() + 0.5, photograph.disc, canvas_px)
    assert np.hypot(x - 1500.5, y - 700.5) < 4  # one decoded pixel


def test_the_disc_is_in_pixels_of_the_original_whatever_the_scale():
    large = draw_fundus(2400, 1800, 1210, 890, 850)
    for canvas_px in (700, 400, 200):  # decoded at 1, 1/2 and 1/4
        disc = PixelPath(canvas_px).process(jpeg(large)).disc
        assert disc.x == pytest.approx(1210, abs=8.5)
        assert disc.y == pytest.approx(890, abs=8.5)
        assert disc.radius == pytest.approx(850, abs=8.5)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_file_gives_the_same_canvas_and_hash(orientation):
    path = PixelPath(256)
    plain = path.process(encode(PICTURE, ".png"))
    stored = encode(unturned(PICTURE, orientation), ".png")
    turned = path.process(with_png_chunk(stored, b"eXIf", exif_block(orientation)))
    assert np.array_equal(turned.canvas, plain.canvas)
    assert turned.pixel_hash == plain.pixel_hash
    assert turned.disc == plain.disc


def test_metadata_alone_changes_nothing():
    path, data = PixelPath(128), jpeg(PICTURE)
    first, second = path.process(data), path.process(with_jpeg_exif(data, exif_block(1)))
    assert np.array_equal(first.canvas, second.canvas)
    assert first.pixel_hash == second.pixel_hash


def test_cameras_that_differ_in_size_give_one_canvas():
    path = PixelPath(128)
    canvases = [
        path.process(encode(draw_fundus(w, h, w / 2, h / 2, r), ".png")).canvas.astype(int)
        for w, h, r in ((1600, 1200, 560), (800, 800, 390))
    ]
    core = np.hypot(*(np.mgrid[:128, :128] - 63.5)) < 0.95 * disc_radius_px(128)
    assert np.abs(canvases[0] - canvases[1])[core].mean() < 4


def test_version_and_parameters_are_recorded_and_others_refused():
    path = PixelPath(256)
    named = {"version": PIXEL_PATH_VERSION, "canvas_px": 256, "arm": "none"}
    assert path.to_dict() == named | {"aspect": "restore", "already_enhanced": "person"}
    for other in (path, PixelPath(256, "clahe"), PixelPath(256, aspect="keep", already_enhanced="accept")):
        assert PixelPath.from_dict(other.to_dict()) == other
    assert path.fingerprint == PixelPath(256).fingerprint
    others = PixelPath(255), PixelPath(256, "green"), PixelPath(256, aspect="keep")
    assert len({path.fingerprint, *(other.fingerprint for other in others)}) == 4
    good = path.to_dict()
    for value in (
        good | {"version": PIXEL_PATH_VERSION + 1},
        {"version": PIXEL_PATH_VERSION - 1, "canvas_px": 256},
        {key: item for key, item in good.items() if key != "version"},
        {key: item for key, item in good.items() if key != "canvas_px"},
        {key: item for key, item in good.items() if key != "arm"},
        good | {"canvas_px": "256"},
        good | {"canvas_px": True},
        good | {"canvas_px": 0},
        good | {"arm": "sharpen"},
        good | {"arm": []},
        good | {"already_enhanced": "guess"},
        good | {"already_enhanced": []},
        {key: item for key, item in good.items() if key != "already_enhanced"},
        good | {"aspect": "squash"},
        {key: item for key, item in good.items() if key != "aspect"},
        good | {"sigma": 1},
    ):
        with pytest.raises(BundleError):
            PixelPath.from_dict(value)
    with pytest.raises(ParamsError):
        PixelPath(256, "sharpen")
    with pytest.raises(ParamsError):
        PixelPath(256, already_enhanced="guess")
    with pytest.raises(ParamsError, match="squash"):
        PixelPath(256, aspect="squash")


def test_a_squashed_photograph_is_restored_by_policy():
    path, squashed = PixelPath(128), encode(cv2.resize(PICTURE, (500, 700), interpolation=cv2.INTER_AREA), ".png")
    round_one, restored = path.process(encode(PICTURE, ".png")), path.process(squashed)
    kept = PixelPath(128, aspect="keep").process(squashed)
    assert (round_one.disc.aspect, round_one.aspect_restored) == (1, False)
    assert restored.disc.aspect == pytest.approx(5 / 9, rel=0.01)
    assert kept.disc == restored.disc
    assert (restored.aspect_restored, kept.aspect_restored) == (True, False)
    apart = [np.abs(round_one.canvas.astype(int) - one.canvas).mean() for one in (restored, kept)]
    assert apart[0] < 6 < 20 < apart[1]
    assert restored.quality.score > kept.quality.score


def test_idrid_discs_agree(idrid_dir):
    # All are of one camera, so the disc must be the same within 1 % of its radius.
    photographs = sorted(idrid_dir.rglob("*.jpg"))[5::30]
    discs = [PixelPath(256).process(path.read_bytes()).disc for path in photographs]
    assert {disc.fit for disc in discs} == {CIRCLE}
    radii = np.array([disc.radius for disc in discs])
    assert np.ptp(radii) < 0.01 * radii.mean()
    assert np.ptp([disc.y for disc in discs]) < 0.02 * radii.mean()


def test_model_input_of_the_same_side_is_the_canvas():
    canvas = PixelPath(96).process(encode(PICTURE, ".png")).canvas
    assert model_input(canvas, 96) is canvas
