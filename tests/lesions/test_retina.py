"""Black that reaches the edge of the field is no retina; a hemorrhage is, however dark."""

import numpy as np
import pytest

from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.lesions.retina import retina_mask

SIDE = 256
DISC = disc_mask(SIDE) > 0


def canvas(*black: tuple[slice, slice], level: int = 120, black_level: int = 3) -> np.ndarray:
    """Tissue on the disc, black in these boxes."""
    pixels = np.full((SIDE, SIDE, 3), level, np.uint8)
    for box in black:
        pixels[box] = black_level
    return pixels * DISC[..., None].astype(np.uint8)


def test_a_whole_field_is_the_disc() -> None:
    np.testing.assert_array_equal(retina_mask(canvas()), DISC)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(np.s_[118:138, 240:], id="notch"),
        pytest.param(np.s_[:30, :], id="cut-off"),
        pytest.param(np.s_[:, :9], id="left edge"),
    ],
)
def test_black_at_the_edge_is_no_retina(box: tuple[slice, slice]) -> None:
    found, mark = retina_mask(canvas(box)), np.zeros_like(DISC)
    mark[box] = True
    assert not (found & mark).any()
    lost = DISC & ~mark & ~found  # the soft rim alone
    assert 0 < lost.sum() <= 2 * np.sqrt(2) * (SIDE + 30)


def test_black_within_tissue_is_retina() -> None:
    np.testing.assert_array_equal(retina_mask(canvas(np.s_[100:140, 100:140], np.s_[60:64, 150:230])), DISC)


def test_dark_tissue_is_retina_and_black_is_not() -> None:
    np.testing.assert_array_equal(retina_mask(canvas(level=9)), DISC)
    assert not retina_mask(np.zeros((SIDE, SIDE, 3), np.uint8)).any()


def test_one_bright_channel_is_enough() -> None:
    red = canvas()
    red[..., 1:] = 0
    np.testing.assert_array_equal(retina_mask(red), DISC)
