"""Optic disc, fovea and yardstick on drawn canvases."""

import numpy as np
import pytest

from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.components import find_components
from dr_pipeline.lesions.findings import FoveaMethod, Yardstick
from dr_pipeline.lesions.landmarks import Landmarks, find_landmarks

SIDE = 400
UM_PER_PX = 45 * 288 / (SIDE - 2)  # a disc of 1,500 µm has 46 px
NOTHING = np.zeros((SIDE, SIDE), np.bool_)


def canvas(
    *, fovea: tuple[float, float] | None = None, vessel: bool = False, vignetting: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Orange tissue, darker about the fovea; by these fractions darker at the left and right edge."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    radius = np.hypot(columns - SIDE / 2, rows - SIDE / 2) / (SIDE / 2)
    green = 110.0 * (1 - np.where(columns < SIDE / 2, *vignetting) * radius**4)
    if fovea is not None:
        green *= 1 - 0.25 * np.exp(-((columns - fovea[0]) ** 2 + (rows - fovea[1]) ** 2) / (2 * 15**2))
    if vessel:
        cv2.line(green, (0, 260), (SIDE, 240), 50.0, 6)
    rgb = np.stack([green * 1.8, green, green * 0.5], axis=-1).astype(np.uint8)
    return cv2.bitwise_and(rgb, rgb, mask=disc_mask(SIDE))


def plane(x: float, y: float, radius: float, *, flat: float = 1.0) -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    return (np.hypot(columns - x, (rows - y) / flat) <= radius).astype(np.float32)


def landmarks(
    picture: np.ndarray, *discs: np.ndarray, foveas: np.ndarray | None = None, lesions: np.ndarray = NOTHING
) -> Landmarks:
    def components(planes: tuple[np.ndarray, ...]) -> list:
        return [one for each in planes for one in find_components(each, threshold=0.5, min_pixels=1)]

    return find_landmarks(
        picture,
        components(discs),
        components(() if foveas is None else (foveas,)),
        um_per_px=UM_PER_PX,
        lesions=lesions,
    )


def test_the_disc_is_the_yardstick_and_the_darkest_place_near_the_expected_one_the_fovea() -> None:
    found = landmarks(canvas(fovea=(195, 222), vessel=True), plane(310, 200, 24))
    assert found.disc is not None
    assert (found.disc.x, found.disc.y) == (pytest.approx(310, abs=0.5), pytest.approx(200, abs=0.5))
    assert found.um_per_px == pytest.approx(1500 / 48, rel=0.03)
    assert found.yardstick is Yardstick.OPTIC_DISC
    assert found.fovea_method is FoveaMethod.DARKEST
    assert found.fovea == (pytest.approx(195, abs=8), pytest.approx(222, abs=8))


def test_without_a_dark_place_the_fovea_is_where_it_is_expected() -> None:
    found = landmarks(canvas(), plane(90, 200, 23))
    assert found.fovea_method is FoveaMethod.EXPECTED
    assert found.fovea == (pytest.approx(90 + 2.5 * 46, abs=4), pytest.approx(212, abs=4))


def test_a_dark_lesion_is_no_fovea() -> None:
    picture, blot = canvas(fovea=(195, 222)), plane(200, 180, 12) > 0
    picture[blot] = (60, 20, 10)
    found = landmarks(picture, plane(310, 200, 24), lesions=blot)
    assert found.fovea == (pytest.approx(195, abs=8), pytest.approx(222, abs=8))


def test_the_network_s_fovea_comes_first_where_it_is_plausible() -> None:
    picture, disc = canvas(fovea=(195, 222)), plane(310, 200, 24)
    found = landmarks(picture, disc, foveas=plane(205, 215, 20))
    assert found.fovea_method is FoveaMethod.NETWORK
    assert found.fovea == (pytest.approx(205, abs=0.5), pytest.approx(215, abs=0.5))
    assert landmarks(picture, disc, foveas=plane(300, 210, 20)).fovea_method is FoveaMethod.DARKEST


def test_a_central_disc_has_its_fovea_on_the_darker_side_or_none() -> None:
    assert landmarks(canvas(fovea=(85, 215)), plane(200, 200, 23)).fovea == (
        pytest.approx(85, abs=8),
        pytest.approx(215, abs=8),
    )
    found = landmarks(canvas(), plane(200, 200, 23))
    assert (found.fovea, found.fovea_method) == (None, FoveaMethod.NONE)


@pytest.mark.parametrize("vignetting", [(0.6, 0.6), (0.8, 0.2)])
@pytest.mark.parametrize("shift", [0, 15])
def test_an_edge_darkened_by_vignetting_is_no_fovea(vignetting: tuple[float, float], shift: int) -> None:
    found = landmarks(canvas(vignetting=vignetting), plane(200 + shift, 200, 34))
    assert (found.fovea, found.fovea_method) == (None, FoveaMethod.NONE)
    aside = landmarks(canvas(fovea=(195, 222), vignetting=vignetting), plane(310, 200, 24))
    assert aside.fovea == (pytest.approx(195, abs=8), pytest.approx(222, abs=8))


def test_a_disc_between_the_middle_and_its_usual_place_has_the_fovea_towards_the_centre() -> None:
    found = landmarks(canvas(), plane(200 + 38, 200, 24))
    assert found.fovea_method is FoveaMethod.EXPECTED
    assert found.fovea == (pytest.approx(238 - 2.5 * 48, abs=4), pytest.approx(212, abs=4))


def test_a_faint_disc_gives_the_axis_and_no_yardstick() -> None:
    disc = find_components(plane(310, 200, 24), threshold=0.5, min_pixels=1)
    found = find_landmarks(canvas(fovea=(195, 222)), disc, [], um_per_px=UM_PER_PX, lesions=NOTHING, faint_disc=True)
    assert found.disc is not None
    assert found.fovea == (pytest.approx(195, abs=8), pytest.approx(222, abs=8))
    assert (found.um_per_px, found.yardstick) == (UM_PER_PX, Yardstick.FIELD)


@pytest.mark.parametrize(
    "disc", [plane(310, 200, 6), plane(250, 200, 120), plane(310, 200, 40, flat=0.2), np.zeros((SIDE, SIDE))]
)
def test_what_is_no_disc_leaves_the_declared_field_as_yardstick(disc: np.ndarray) -> None:
    found = landmarks(canvas(fovea=(195, 222)), disc.astype(np.float32))
    assert (found.disc, found.fovea, found.fovea_method) == (None, None, FoveaMethod.NONE)
    assert (found.um_per_px, found.yardstick) == (UM_PER_PX, Yardstick.FIELD)


def test_of_several_the_most_likely_disc_is_taken_whole_although_a_vessel_cuts_it() -> None:
    cut = plane(310, 200, 24)
    cut[170:200, 306:314] = 0
    found = landmarks(canvas(), np.maximum(cut, plane(100, 120, 14)))
    assert found.disc is not None
    assert found.disc.x == pytest.approx(310, abs=1)
    assert found.disc.diameter == pytest.approx(48, rel=0.05)
