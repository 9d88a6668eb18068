"""lesions.onnx in a bundle: hashed as every file, read by who asks, refused where it breaks its contract."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from dr_pipeline.bundle.bundle_files import LESIONS, MODEL, SUMS
from dr_pipeline.bundle.lesions import LesionDescription, LesionModel, read_lesions
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.errors import BundleError
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2
from tests.factories.bundles import make_bundle
from tests.factories.lesion_networks import CANVAS_PX, COLOURS, TILE_PX, colour_network, description


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release", lesions=colour_network())


def test_it_is_listed_and_leaves_the_bundle_id_and_the_other_files_as_they_are(made: Path, tmp_path: Path) -> None:
    without = make_bundle(tmp_path / "without")
    assert LESIONS in (made / SUMS).read_text()
    assert read_bundle(made, threads=1).bundle_id == read_bundle(without, threads=1).bundle_id
    assert (made / MODEL).read_bytes() == (without / MODEL).read_bytes()
    assert read_lesions(without, threads=1) is None
    assert read_lesions(made, threads=1) is not None


def test_an_altered_byte_is_found(made: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(made, tmp_path / "release")
    data = bytearray((bundle / LESIONS).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / LESIONS).write_bytes(data)
    for read in (read_bundle, read_lesions):
        with pytest.raises(BundleError, match=r"lesions\.onnx was altered"):
            read(bundle, threads=1)


def drawn(colour: tuple[int, int, int]) -> np.ndarray:
    """A canvas with dots over the borders of tiles."""
    canvas = np.full((CANVAS_PX, CANVAS_PX, 3), (120, 70, 30), np.uint8)
    for x, y in ((96, 128), (128, 96), (160, 160), (128, 128), (60, 200)):
        cv2.circle(canvas, (x, y), 6, colour, -1)
    return cv2.bitwise_and(canvas, canvas, mask=disc_mask(CANVAS_PX))


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_tiles_give_the_map_of_the_whole(kind: str, overlap: float) -> None:
    canvas = drawn(COLOURS[kind])
    tiled = LesionModel(colour_network(overlap=overlap), threads=1).probabilities(canvas)
    whole = LesionModel(colour_network(tile_px=CANVAS_PX), threads=1).probabilities(canvas)
    assert tiled.shape == (len(COLOURS), CANVAS_PX, CANVAS_PX)
    assert np.allclose(tiled, whole, atol=1e-5)
    assert (tiled[list(COLOURS).index(kind)] > 0.5).sum() == (canvas == COLOURS[kind]).all(axis=2).sum()


def test_a_notch_in_the_edge_is_no_lesion_and_black_blood_is_one() -> None:
    canvas = drawn((0, 0, 0))
    notch = np.s_[CANVAS_PX // 2 - 8 : CANVAS_PX // 2 + 8, -16:]
    canvas[notch] = 2
    (found,) = LesionModel(colour_network(colours={"hemorrhages": (0, 0, 0)}), threads=1).probabilities(canvas)
    assert found[notch].max() == 0
    assert found[128, 128] > 0.9


def test_tiles_end_with_the_canvas_and_none_is_outside_the_field() -> None:
    described = LesionDescription.from_json(json.dumps(description(canvas_px=300, tile_px=64, overlap=0.3)))
    tiles = described.tiles()
    assert max(top for top, _ in tiles) == max(left for _, left in tiles) == 300 - 64
    assert len(set(tiles)) == len(tiles)
    field = disc_mask(300) > 0
    for top, left in tiles:
        field[top : top + 64, left : left + 64] = False
    assert not field.any()
    small = LesionDescription.from_json(json.dumps(description(canvas_px=1000, tile_px=50, overlap=0)))
    assert (0, 0) not in small.tiles()


def test_a_canvas_of_another_side_is_refused() -> None:
    with pytest.raises(BundleError, match="takes a canvas of 256 px"):
        LesionModel(colour_network(), threads=1).probabilities(np.zeros((TILE_PX, TILE_PX, 3), np.uint8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "version 3"),
        ({"kinds": ["hemorrhages", "drusen"]}, "no kind of lesion: drusen"),
        ({"kinds": ["hemorrhages", "hemorrhages"]}, "twice"),
        ({"kinds": []}, "names no kind"),
        ({"tile_px": 512}, "tiles of 512 px"),
        ({"tile_px": 0}, "tiles of 0 px"),
        ({"canvas_px": 100_000}, "on a canvas of 100000 px"),
        ({"overlap": 0.95}, "overlap 0.95"),
        ({"overlap": -0.1}, "overlap -0.1"),
        ({"um_per_px": 0}, "um_per_px 0"),
        ({"um_per_px": float("nan")}, "um_per_px nan"),
        ({"thresholds": {}}, "'microaneurysms'"),
        ({"thresholds": dict.fromkeys(COLOURS, 0)}, "threshold"),
        ({"min_pixels": dict.fromkeys(COLOURS, 0)}, "min_pixels"),
        ({"min_pixels": None}, "malformed"),
        ({"min_peaks": {}}, "'microaneurysms'"),
        ({"min_peaks": dict.fromkeys(COLOURS, 1.5)}, "min_peaks"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        LesionDescription.from_json(json.dumps(description() | changes))


def test_in_a_file_of_version_1_every_component_counts_that_is_large_enough() -> None:
    old = description(version=1)
    del old["min_peaks"]
    counting = LesionDescription.from_json(json.dumps(old)).counting
    assert counting.min_peaks == counting.thresholds


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "3", "{}", '{"version": 1}'])
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match=r"entry 'lesions' is missing or malformed"):
        LesionDescription.from_json(text)


def outside_weights() -> bytes:
    model = onnx.load_from_string(colour_network())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"not an onnx file", "not an ONNX file"),
        (outside_weights(), "in another file"),
        (colour_network(entry=""), "is missing or malformed"),
        (colour_network(input_type=TensorProto.FLOAT), "must take"),
        (colour_network(output="maps"), "must take"),
        (colour_network(entry=json.dumps(description(tile_px=64))), "must take"),
        (colour_network(entry=json.dumps(description(kinds=["hemorrhages"]))), "must take"),
    ],
    ids=["text", "weights elsewhere", "no entry", "input", "output", "another tile", "another number of kinds"],
)
def test_a_network_that_breaks_the_contract_is_refused(model: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        LesionModel(model, threads=1)


def test_outputs_that_are_no_probabilities_are_refused() -> None:
    model = onnx.load_from_string(colour_network())
    (node,) = (node for node in model.graph.node if node.op_type == "Sigmoid")
    node.op_type = "Identity"
    with pytest.raises(BundleError, match="no probabilities"):
        LesionModel(model.SerializeToString(), threads=1).probabilities(drawn((255, 0, 0)))
