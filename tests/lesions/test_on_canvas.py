"""Masks on the canvas: where the photograph shows the lesion, of its area, and no small one is lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.lesions.kinds import FIBROUS_TISSUE, HARD_EXUDATES, KINDS, MICROANEURYSMS, Masks, plane, with_plane
from dr_pipeline.lesions.on_canvas import masks_to_canvas, num_components, um_per_px
from tests.factories.drawings import draw_fundus, encode


def dots(width: int, height: int, centres: np.ndarray, radius: float) -> np.ndarray:
    """True within a radius of the centres, which are continuous px."""
    drawn = np.zeros((height, width), np.uint8)
    for x, y in centres:
        cv2.circle(drawn, (round((x - 0.5) * 16), round((y - 0.5) * 16)), round(radius * 16), 255, -1, cv2.LINE_8, 4)
    return drawn > 0


def masks_of(shown: np.ndarray) -> Masks:
    return with_plane(np.zeros(shown.shape, np.uint16), MICROANEURYSMS, shown)


@settings(max_examples=8)
@given(
    st.integers(300, 900),
    st.floats(0.75, 1.4),
    st.floats(0.4, 0.6),
    st.sampled_from([160, 257, 384]),
    st.integers(0, 9),
)
def test_photograph_and_masks_are_registered_within_one_canvas_pixel(
    height: int, aspect: float, size: float, canvas_px: int, seed: int
) -> None:
    width, radius = round(height * aspect), size * height
    x, y = width / 2 + 0.03 * height, height / 2 - 0.02 * height
    photograph = draw_fundus(width, height, x, y, radius)
    draw = np.random.default_rng(seed)
    reach = 0.8 * min(radius, width / 2 - 0.03 * height, height / 2)
    angles = draw.uniform(0, 2 * np.pi, 4) / 4 + np.arange(4) * np.pi / 2
    centres = np.array([x, y]) + draw.uniform(0.3, 1, (4, 1)) * reach * np.stack([np.cos(angles), np.sin(angles)], 1)
    shown = dots(width, height, centres, max(3.0, 4 * radius / canvas_px))
    photograph[shown] = (0, 0, 255)
    processed = PixelPath(canvas_px).process(encode(photograph, ".png"), find_text=False)
    masks = masks_to_canvas(masks_of(shown), processed.disc, canvas_px, restore_aspect=True)
    blue = np.clip(processed.canvas[..., 2].astype(np.float64) - processed.canvas[..., 0], 0, None)
    count, places, _, found = cv2.connectedComponentsWithStats(plane(masks, MICROANEURYSMS).astype(np.uint8))
    assert count - 1 == 4
    for number in range(1, count):
        near = cv2.dilate((places == number).astype(np.uint8), np.ones((7, 7), np.uint8)) * blue
        rows, columns = np.mgrid[:canvas_px, :canvas_px]
        centre = np.array([(columns * near).sum(), (rows * near).sum()]) / near.sum()
        assert np.hypot(*(centre - found[number])) < 1


@pytest.mark.parametrize("diameter_px", [5, 8, 12])
def test_a_lesion_of_5_px_at_4288_px_survives_wherever_it_lies(diameter_px: int) -> None:
    disc = Disc(2100.3, 1424.6, 1710.0, CIRCLE)
    draw = np.random.default_rng(diameter_px)
    grid = np.stack(np.meshgrid(np.arange(-12, 13), np.arange(-8, 9)), -1).reshape(-1, 2) * 80.0
    centres = np.array([disc.x, disc.y]) + grid + draw.uniform(-20, 20, grid.shape)
    masks = masks_of(dots(4288, 2848, centres, diameter_px / 2))
    on_canvas = masks_to_canvas(masks, disc, 1536, restore_aspect=True)
    assert num_components(masks, MICROANEURYSMS) == len(centres)
    assert num_components(on_canvas, MICROANEURYSMS) == len(centres)
    scale = (1534 / 3420) ** 2
    assert plane(on_canvas, MICROANEURYSMS).sum() == pytest.approx(plane(masks, MICROANEURYSMS).sum() * scale, rel=0.1)


def test_every_kind_keeps_its_own_bit_and_nothing_lies_outside_the_field() -> None:
    masks = np.zeros((200, 300), np.uint16)
    for number, kind in enumerate(KINDS):
        shown = np.zeros(masks.shape, np.bool_)
        shown[60:140, 60 + 16 * number : 70 + 16 * number] = True
        masks = with_plane(masks, kind, shown)
    on_canvas = masks_to_canvas(masks, Disc(150, 100, 100, CIRCLE), 200, restore_aspect=True)
    for kind in KINDS:
        assert plane(on_canvas, kind).any()
        assert num_components(on_canvas, kind) == 1
    everywhere = with_plane(np.zeros((200, 300), np.uint16), FIBROUS_TISSUE, np.ones((200, 300), np.bool_))
    field = plane(masks_to_canvas(everywhere, Disc(150, 100, 100, CIRCLE), 200, restore_aspect=True), FIBROUS_TISSUE)
    assert field.mean() == pytest.approx(np.pi / 4, abs=0.02)


@pytest.mark.parametrize("restore", [True, False])
def test_a_squashed_photograph_s_masks_follow_its_canvas(*, restore: bool) -> None:
    disc = Disc(150, 100, 120, CIRCLE, aspect=0.75)
    masks = with_plane(np.zeros((200, 300), np.uint16), HARD_EXUDATES, dots(300, 200, np.array([[150, 100]]), 30))
    rows, columns = np.nonzero(plane(masks_to_canvas(masks, disc, 240, restore_aspect=restore), HARD_EXUDATES))
    ratio = (np.ptp(columns) + 1) / (np.ptp(rows) + 1)
    assert ratio == pytest.approx(1 / 0.75 if restore else 1, rel=0.05)
    assert np.hypot(rows.mean() - 119.5, columns.mean() - 119.5) < 1


def test_the_scale_follows_from_the_field_s_angle() -> None:
    assert um_per_px(1536, 45.0) == pytest.approx(45 * 288 / 1534)
