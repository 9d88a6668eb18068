"""Several fields in one picture are recognised in every layout and on every ground, and nothing else is called so."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.field_layouts import GROUNDS, SEVERAL, SINGLE, Fundus
from benchmarks.fields import stored
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import CIRCLE, SEVERAL_FIELDS, SMALL_FIELD, find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.quality.assess import assess
from dr_pipeline.intake.phantom.non_fundus import NON_FUNDUS_KINDS, draw_non_fundus
from dr_pipeline.schema import Status
from tests.factories.drawings import draw_fundus

pytestmark = pytest.mark.slow

WHOLE, CUT = Fundus(draw_fundus(500, 440, 255, 222, 200), 255, 222, 200), (510, 340, 250, 172, 205)
FUNDI = [
    WHOLE,
    Fundus(draw_fundus(*CUT, seed=1), *CUT[2:]),
    Fundus(draw_fundus(*CUT, seed=2)[:, ::-1].copy(), 510 - CUT[2], *CUT[3:]),
    Fundus((draw_fundus(500, 440, 255, 222, 200, seed=3) * 0.6).astype(np.uint8), 255, 222, 200),
]


@pytest.mark.parametrize("layout", SEVERAL)
@pytest.mark.parametrize("ground", ["black", "grey", "white"])
def test_several_fields_are_never_one(layout: str, ground: str) -> None:
    picture = stored(SEVERAL[layout](FUNDI, GROUNDS[ground], np.random.default_rng(len(layout))))
    disc = find_disc(picture)
    assert disc.fault == SEVERAL_FIELDS
    quality = assess(to_canvas(picture, disc, 128), disc)
    assert (quality.status, quality.reasons, quality.score) == (Status.UNGRADABLE, (SEVERAL_FIELDS,), 0.0)


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("fundus", FUNDI[:2], ids=["whole", "cut"])
def test_one_field_is_found_on_any_flat_ground(kind: str, ground: str, fundus: Fundus) -> None:
    planted = SINGLE[kind](fundus, GROUNDS[ground])
    disc = find_disc(stored(planted.pixels))
    assert (disc.fit, disc.fault) == (CIRCLE, "")
    found = disc.x, disc.y, disc.half_width, disc.half_height
    assert found == pytest.approx(
        (planted.x, planted.y, planted.half_width, planted.half_height), abs=0.025 * planted.half_width
    )


def marked(name: str) -> np.ndarray:
    """A fundus with something beside or on its field that is no second field."""
    picture = draw_fundus(640, 480, 330, 240, 200)
    if name == "date stamp":
        cv2.putText(picture, "2019-03-02 OD 45", (4, 470), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    elif name == "notch":
        cv2.circle(picture, (485, 110), 18, (190, 90, 40), -1)
    elif name == "logo":
        cv2.circle(picture, (60, 60), 45, (230, 60, 30), -1)
        cv2.putText(picture, "LOGO", (25, 68), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    elif name == "inset map":
        for radius in (50, 18):
            cv2.circle(picture, (60, 60), radius, (200, 200, 200), 2)
    elif name == "panel":
        picture = np.hstack([picture, np.full((480, 160, 3), 60, np.uint8)])
        for line in range(2):
            cv2.putText(picture, "Patient", (650, 40 + 40 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (230, 230, 230), 1)
    elif name == "flare":
        distance = np.hypot(*(np.mgrid[:480, :640] - np.array([140, 470])[:, None, None]))
        lit = (
            np.exp(-((distance / 60) ** 2))[..., None]
            * np.array([200, 220, 230])
            * (picture.max(axis=2) > 12)[..., None]
        )
        picture = np.clip(picture + lit, 0, 255).astype(np.uint8)
    elif name == "dark half":
        picture = (picture * np.linspace(1, 0.15, 640)[None, :, None]).astype(np.uint8)
    return picture


@pytest.mark.parametrize("name", ["date stamp", "notch", "logo", "inset map", "panel", "flare", "dark half"])
def test_marks_and_light_are_no_second_field(name: str) -> None:
    disc = find_disc(marked(name))
    assert (disc.fit, disc.fault) == (CIRCLE, "")
    assert disc.radius == pytest.approx(200, rel=0.03)


@pytest.mark.parametrize("kind", NON_FUNDUS_KINDS)
def test_other_pictures_are_not_several_fields(kind: str) -> None:
    drawn = (draw_non_fundus(np.random.default_rng(seed), kind, 420, 320) for seed in range(2))
    assert {find_disc(picture).fault for picture in drawn} == {""}


def test_tissue_without_a_rim_is_small_or_several_by_its_box() -> None:
    tissue = FUNDI[0].crop(0.6)
    page = np.full((480, 640, 3), 255, np.uint8)
    page[200:240, 300:350] = cv2.resize(tissue, (50, 40))
    assert find_disc(page).fault == SMALL_FIELD
    strip = np.zeros((480, 640, 3), np.uint8)
    strip[140:340, 60:580] = cv2.resize(tissue, (520, 200))
    assert find_disc(strip).fault == SEVERAL_FIELDS
    box = np.zeros((480, 640, 3), np.uint8)
    box[100:380, 160:500] = cv2.resize(tissue, (340, 280))
    disc = find_disc(box)
    assert (disc.fault, disc.half_width, disc.half_height) == ("", pytest.approx(170, abs=1), pytest.approx(140, abs=1))


def test_a_small_field_of_a_large_picture_is_located_exactly() -> None:
    picture = np.full((2400, 3200, 3), 128, np.uint8)
    tile = draw_fundus(520, 520, 260, 260, 240, ground=128)
    picture[1500:2020, 400:920] = tile
    disc = find_disc(picture)
    assert disc.fit == CIRCLE
    assert (disc.x, disc.y, disc.radius) == pytest.approx((660, 1760, 240), abs=2)


@pytest.mark.slow
def test_no_photograph_of_other_cameras_is_called_several_fields(shared_dir: Path) -> None:
    folder = shared_dir / "data/cameras/photographs"
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder.name} is absent")
    paths = sorted(folder.iterdir())
    discs = {path.name: find_disc(decode(path.read_bytes(), 128).pixels) for path in paths}
    assert len(discs) == 87
    assert {disc.fault for disc in discs.values()} == {""}
    assert {disc.fit for disc in discs.values()} == {CIRCLE}
    # The one real ellipse among them: its file is wider than its field.
    assert {name: round(disc.aspect, 2) for name, disc in discs.items() if disc.aspect != 1} == {
        "chaksu_bosch.jpg": 1.18
    }


def test_a_dark_field_beside_a_cut_one_is_not_overlooked(idrid_dir: Path, cameras_dir: Path) -> None:
    # Both are cropped to what is lit and touch over their whole height: no rim, no gutter and no seam divides them.
    def cropped(path: Path) -> np.ndarray:
        pixels = decode(path.read_bytes(), 256).pixels
        lit = pixels.max(axis=2) > 25
        rows, columns = np.flatnonzero(lit.mean(axis=1) > 0.02), np.flatnonzero(lit.mean(axis=0) > 0.02)
        return cv2.resize(pixels[rows[0] : rows[-1], columns[0] : columns[-1]], (700, 700))

    bright = cropped(next(idrid_dir.rglob("IDRiD_295.jpg")))
    dark = cropped(next(cameras_dir.rglob("hygd_112_0.jpg")))
    assert find_disc(stored(np.hstack([bright, dark]))).fault


def test_a_field_lit_in_part_on_a_white_page_is_no_page(cameras_dir: Path) -> None:
    pixels = decode(next(cameras_dir.rglob("deepdrid_431_l2.jpg")).read_bytes(), 256).pixels.copy()
    unlit = cv2.morphologyEx((pixels.max(axis=2) > 18).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9))) == 0
    pixels[unlit] = 255
    picture = stored(cv2.copyMakeBorder(pixels, 150, 150, 150, 150, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    disc = find_disc(picture)
    assert assess(to_canvas(picture, disc, 256), disc).status is Status.UNGRADABLE
