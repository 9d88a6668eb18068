"""The store of photographs with masks: what is written is read, and every unusable mask is named at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.canvases.lesion_build import write_lesion_canvases
from dr_pipeline.canvases.lesion_render import MaskedSource
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.canvases.store import INDEX
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.intake.phantom.jpeg_files import encode_turned
from dr_pipeline.lesions.kinds import HARD_EXUDATES, KINDS, MICROANEURYSMS, OPTIC_DISC, plane
from dr_pipeline.lesions.mask_files import MaskFile
from dr_pipeline.tables.lesion_index import LESION_INDEX, LesionRow, write_lesion_index
from tests.factories.masked_photographs import HEIGHT, WIDTH, dot, photograph, write_masks, write_photographs

HERE = EngineChoice(EngineName.IN_PROCESS)
PATH = PixelPath(200)
MA = MaskFile("MA/a.png", (MICROANEURYSMS,))
EX = MaskFile("EX/a.png", (HARD_EXUDATES,))


@pytest.fixture
def source(tmp_path: Path) -> MaskedSource:
    write_photographs(tmp_path / "images", ["a"])
    write_masks(tmp_path / "MA", {"a.png": dot(120, 90)})
    write_masks(tmp_path / "EX", {"a.png": dot(122, 90) | dot(160, 150)})
    kinds = (MICROANEURYSMS, HARD_EXUDATES, OPTIC_DISC)
    return MaskedSource("a", tmp_path, "images/a.jpg", (MA, EX), kinds)


def row(**values: object) -> LesionRow:
    defaults = {"image_id": "a", "group": "a", "fold": 0, "labelled": "irma", "pixels": "irma=3", "pixel_hash": "0"}
    window = {"window_left": 0.0, "window_top": 0.0, "window_width": 9.0, "window_height": 9.0}
    return LesionRow(**{**defaults, **window, "um_per_px": 8.4, "width": 9, "height": 9, **values})  # type: ignore[arg-type]


def test_what_is_written_is_read(source: MaskedSource, tmp_path: Path) -> None:
    out = tmp_path / "store"
    found = write_lesion_canvases([source], out, PATH, HERE)["a"]
    assert found.components == {"microaneurysms": (1, 1), "hard_exudates": (2, 2), "optic_disc": (0, 0)}
    assert found.overlapping_px > 0
    assert (found.width, found.height, found.turned, found.canvas) == (WIDTH, HEIGHT, False, b"")
    labelled = "microaneurysms hard_exudates optic_disc"
    pixels = " ".join(f"{name}={number}" for name, number in found.pixels.items())
    write_lesion_index(out / INDEX, [row(labelled=labelled, pixels=pixels)])
    store = LesionStore(out)
    canvas = store.read("a")
    assert canvas.pixels.shape == (200, 200, 3)
    assert canvas.labelled == {"microaneurysms", "hard_exudates", "optic_disc"}
    assert canvas.um_per_px == 8.4
    assert {kind.name: int(plane(canvas.masks, kind).sum()) for kind in source.kinds} == store.rows["a"].pixels_of
    assert np.array_equal(canvas.pixels, PATH.process((source.root / source.path).read_bytes()).canvas)


def test_a_kind_that_is_not_wanted_leaves_no_bit(source: MaskedSource, tmp_path: Path) -> None:
    found = write_lesion_canvases([replace(source, kinds=(HARD_EXUDATES,))], tmp_path / "store", PATH, HERE)["a"]
    assert list(found.pixels) == ["hard_exudates"]
    assert found.overlapping_px == 0


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_masks_of_a_turned_photograph_are_those_of_the_upright_one(
    source: MaskedSource, tmp_path: Path, orientation: int
) -> None:
    upright = write_lesion_canvases([source], tmp_path / "upright", PATH, HERE)["a"]
    (source.root / source.path).write_bytes(encode_turned(photograph(0), 95, orientation))
    turned = write_lesion_canvases([source], tmp_path / "turned", PATH, HERE)["a"]
    assert (upright.turned, turned.turned) == (False, True)
    pictures = [(tmp_path / name / "a_masks.png").read_bytes() for name in ("upright", "turned")]
    assert pictures[0] == pictures[1]


def test_all_masks_that_cannot_be_used_are_named_and_no_index_is_left(source: MaskedSource, tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", ["a", "b", "c"])
    grey, small = dot(120, 90), dot(120, 90)[:-2]
    grey[0, :7] = 3
    write_masks(tmp_path / "MA", {"b.png": grey, "c.png": small})
    sources = [
        source,
        *(
            replace(source, image_id=name, path=f"images/{name}.jpg", masks=(replace(MA, path=f"MA/{name}.png"),))
            for name in ("b", "c")
        ),
    ]
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / INDEX).write_text("of an earlier run")
    with pytest.raises(DataError, match="masks of 2 of 3 photographs cannot be used") as caught:
        write_lesion_canvases(sources, tmp_path / "store", PATH, HERE)
    assert "b: 7 of 56 marked pixels are grey" in str(caught.value)
    assert "c: a mask of 300 × 238 px for a photograph of 300 × 240 px (MA/c.png)" in str(caught.value)
    assert "or declare `grey_threshold`; give masks in the pixels of" in caught.value.todo
    assert not (tmp_path / "store" / INDEX).exists()


def test_a_missing_or_broken_mask_file_is_named(source: MaskedSource, tmp_path: Path) -> None:
    (tmp_path / "MA" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"a: truncated PNG file \(MA/a.png\)"):
        write_lesion_canvases([source], tmp_path / "store", PATH, HERE)
    (tmp_path / "MA" / "a.png").unlink()
    with pytest.raises(DataError, match=r"a: the file is missing \(MA/a.png\)") as caught:
        write_lesion_canvases([source], tmp_path / "store", PATH, HERE)
    assert caught.value.todo == "copy the files again; or remove the photographs from the data set"


def test_names_of_masks_do_not_meet_names_of_photographs(source: MaskedSource, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the name of another's masks"):
        write_lesion_canvases([source, replace(source, image_id="A_masks")], tmp_path / "store", PATH, HERE)


def test_an_incomplete_store_is_refused(source: MaskedSource, tmp_path: Path) -> None:
    out = tmp_path / "store"
    write_lesion_canvases([source], out, PATH, HERE)
    write_lesion_index(out / INDEX, [row(), row(image_id="b")])
    store = LesionStore(out)
    with pytest.raises(DataError, match="no canvas of 'x'"):
        store.read("x")
    with pytest.raises(DataError, match="the store lacks a file"):
        store.read("b")
    write_masks(out, {"a_masks.png": dot(120, 90)})
    with pytest.raises(DataError, match="are not of 200 px"):
        store.read("a")


@pytest.mark.parametrize("pixels", ["irma=x", "irma", "", "irma=3 fovea=2"])
def test_a_row_whose_cells_do_not_go_together_is_refused(tmp_path: Path, pixels: str) -> None:
    cells = LESION_INDEX.cells(row()) | {"pixels": pixels}
    with pytest.raises(DataError, match=r"index.csv"):
        LESION_INDEX.parse(cells, where="index.csv, row 2")


def test_one_bit_for_each_kind_fits_sixteen() -> None:
    assert max(kind.bit for kind in KINDS) < 16
