"""The pixel path as one object: versioned, deterministic, blind to how a file happens to be stored."""

import numpy as np
import pytest

from dr_pipeline.errors import BundleError
from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.disc import CIRCLE
from dr_pipeline.fundus.pixel_path import PIXEL_PATH_VERSION, PixelPath, model_input
from dr_pipeline.schema import Status
from tests.fundus.fundus_drawings import draw_fundus, encode, exif_block, jpeg, unturned, with_jpeg_exif, with_png_chunk

PICTURE = draw_fundus(900, 700, 455, 352, 330)


def test_everything_about_a_photograph_comes_out():
    photograph = PixelPath(200).process(encode(PICTURE, ".png"))
    assert photograph.canvas.shape == (200, 200, 3)
    assert photograph.canvas.dtype == np.uint8
    assert (photograph.width, photograph.height) == (900, 700)
    assert photograph.disc.fit == CIRCLE
    assert photograph.disc.x == pytest.approx(455, abs=3)
    assert photograph.disc.radius == pytest.approx(330, abs=3)
    assert photograph.quality.status is Status.SCORED
    assert len(photograph.pixel_sha256) == 64


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
    assert turned.pixel_sha256 == plain.pixel_sha256
    assert turned.disc == plain.disc


def test_metadata_alone_changes_nothing():
    path, data = PixelPath(128), jpeg(PICTURE)
    first, second = path.process(data), path.process(with_jpeg_exif(data, exif_block(1)))
    assert np.array_equal(first.canvas, second.canvas)
    assert first.pixel_sha256 == second.pixel_sha256


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
    assert path.to_dict() == {"version": PIXEL_PATH_VERSION, "canvas_px": 256}
    assert PixelPath.from_dict(path.to_dict()) == path
    assert path.fingerprint == PixelPath(256).fingerprint != PixelPath(255).fingerprint
    for value in (
        {"version": PIXEL_PATH_VERSION + 1, "canvas_px": 256},
        {"canvas_px": 256},
        {"version": PIXEL_PATH_VERSION},
        {"version": PIXEL_PATH_VERSION, "canvas_px": "256"},
        {"version": PIXEL_PATH_VERSION, "canvas_px": True},
        {"version": PIXEL_PATH_VERSION, "canvas_px": 256, "clahe": 1},
    ):
        with pytest.raises(BundleError):
            PixelPath.from_dict(value)


def test_idrid_discs_are_found_alike(idrid_dir):
    # One camera took them all, so the disc must come out the same, within 1 % of its radius.
    photographs = sorted(idrid_dir.rglob("*.jpg"))[5::30]
    discs = [PixelPath(256).process(path.read_bytes()).disc for path in photographs]
    assert {disc.fit for disc in discs} == {CIRCLE}
    radii = np.array([disc.radius for disc in discs])
    assert np.ptp(radii) < 0.01 * radii.mean()
    assert np.ptp([disc.y for disc in discs]) < 0.02 * radii.mean()


def test_model_input_is_the_room_s_own_function():
    canvas = PixelPath(96).process(encode(PICTURE, ".png")).canvas
    assert model_input(canvas, 96) is canvas
