"""A picture that goes on lighter, in another colour or displaced from one block on is noticed; a whole one never."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.seams import seam
from tests.factories.drawings import draw_fundus

PICTURE = draw_fundus(640, 480, 320, 240, 230)
UNIT = 16


def encoded(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def after(pixels, row, column, change):
    """The picture with `change` applied from one unit on, in reading order."""
    out = pixels.copy()
    changed = change(pixels)
    top, bottom, left = row * UNIT, (row + 1) * UNIT, column * UNIT
    out[top:bottom, left:] = changed[top:bottom, left:]
    out[bottom:] = changed[bottom:]
    return out


def lighter(by):
    return lambda pixels: np.clip(pixels.astype(int) + by, 0, 255).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(row=st.integers(6, 20), column=st.integers(0, 39), by=st.sampled_from([-40, -12, 9, 15, 60]))
def test_a_change_of_brightness_from_one_unit_on_is_noticed(row, column, by):
    assert "jumps" in seam(after(PICTURE, row, column, lighter(by)), UNIT, UNIT)


@pytest.mark.parametrize("by", [(12, 0, 0), (0, -10, 0), (-9, 4, 0), (0, 3, -16)])
def test_a_change_of_colour_is_noticed(by):
    assert "jumps" in seam(after(PICTURE, 12, 9, lighter(np.array(by))), UNIT, UNIT)


def test_a_small_change_that_the_surround_shows_better_is_noticed():
    field = np.where(np.arange(640)[:, None] // 20 % 2, [0, 4, 0], [0, 2, 0])
    greener = np.where(PICTURE.max(axis=2, keepdims=True) > 10, field, [0, 20, 0])
    assert "jumps" in seam(after(PICTURE, 26, 9, lighter(greener)), UNIT, UNIT)
    assert seam(after(PICTURE, 26, 9, lighter(field)), UNIT, UNIT) == ""


@pytest.mark.parametrize("row", [2, 9, 20])
def test_a_frame_or_a_mark_in_the_surround_is_no_seam(row):
    marked = PICTURE.copy()
    marked[row * UNIT : (row + 2) * UNIT, : 4 * UNIT] = (240, 240, 240)
    assert seam(marked, UNIT, UNIT) == ""
    framed = np.pad(PICTURE // 8 * 8 + 6, ((row * UNIT,), (UNIT,), (0,)))
    assert seam(framed, UNIT, UNIT) == ""


@pytest.mark.parametrize("width", [640, 1280])
def test_a_seam_is_found_at_every_width(width):
    large = np.repeat(np.repeat(PICTURE, width // 640, axis=0), width // 640, axis=1)
    for change in (lighter(9), lambda pixels: np.roll(pixels, UNIT, axis=1)):
        assert seam(after(large, 12, 9, change), UNIT, UNIT)
    assert seam(large, UNIT, UNIT) == ""


@pytest.mark.parametrize("units", [-2, -1, 1, 2])
def test_a_displacement_by_units_is_noticed(units):
    moved = after(PICTURE, 12, 9, lambda pixels: np.roll(pixels, units * UNIT, axis=1))
    assert "displaced" in seam(moved, UNIT, UNIT)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 30},
        {"quality": 98, "subsampling": 0},
        {"quality": 75, "progressive": True},
        {"quality": 60, "restart_marker_rows": 1},
    ],
)
@pytest.mark.parametrize("canvas_px", [60, 120, 240])
def test_a_whole_jpeg_has_no_seam(options, canvas_px):
    cut = PICTURE.copy()
    cut[:64] = cut[-64:] = 2  # a field cut at rows that units begin at
    frame = np.pad(PICTURE, ((16, 16), (16, 16), (0, 0)), constant_values=200)
    for pixels in (PICTURE, cut, frame):
        assert decode(encoded(pixels, **options), canvas_px).doubt == ""


def test_a_picture_too_small_for_the_measures_has_none():
    assert seam(PICTURE[:20, :600], UNIT, UNIT) == ""
    assert seam(PICTURE[:, :100], UNIT, UNIT) == ""


def test_no_photograph_of_the_ten_cameras_is_doubted(cameras_dir):
    """A sample; all of them, and all of IDRiD, are in reports/benchmarks/damage.json."""
    photographs = sorted((cameras_dir / "photographs").iterdir())[::6]
    doubts = {path.name: decode(path.read_bytes(), 256).doubt for path in photographs}
    assert len(doubts) > 10
    assert {name: doubt for name, doubt in doubts.items() if doubt} == {}
