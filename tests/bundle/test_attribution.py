"""explain.onnx in a bundle: hashed as every file, read by who asks, refused where it does not fit."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from dr_pipeline.bundle.attribution import AttributionModel, read_attribution
from dr_pipeline.bundle.bundle_files import EXPLAIN, MODEL, SUMS
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle_storage import file_names, pack_files
from dr_pipeline.deployment.formats.attribution_part import attribution_part
from dr_pipeline.errors import BundleError
from tests.factories.bundles import INPUT_PX, make_bundle
from tests.factories.small_networks import blue_network, relu6_network, small_photographs

NETWORK = relu6_network().SerializeToString()
PART = attribution_part(NETWORK)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release", model=NETWORK, explain=PART)


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "release")


def test_it_is_listed_and_leaves_the_bundle_id_as_it_is(bundle: Path, tmp_path: Path) -> None:
    assert EXPLAIN in (bundle / SUMS).read_text()
    without = make_bundle(tmp_path / "without", model=NETWORK)
    assert read_bundle(bundle, threads=1).bundle_id == read_bundle(without, threads=1).bundle_id
    assert (bundle / MODEL).read_bytes() == (without / MODEL).read_bytes()
    assert read_attribution(without, threads=1) is None


def test_the_second_output_is_read_from_folder_and_file(bundle: Path, tmp_path: Path) -> None:
    packed = tmp_path / "one.drbundle"
    pack_files({name: (bundle / name).read_bytes() for name in file_names(bundle)}, packed)
    maps = []
    for root in (bundle, packed):
        model = read_attribution(root, threads=1)
        assert model is not None
        maps.append(model.attribution(np.concatenate(small_photographs(2))))
    assert maps[0].shape == (2, INPUT_PX, INPUT_PX)
    assert np.array_equal(*maps)


@pytest.mark.parametrize("position", [0, len(PART) // 2, len(PART) - 1])
def test_an_altered_byte_is_found_by_scoring_too(bundle: Path, position: int) -> None:
    data = bytearray((bundle / EXPLAIN).read_bytes())
    data[position] ^= 1
    (bundle / EXPLAIN).write_bytes(data)
    with pytest.raises(BundleError, match=r"explain\.onnx was altered"):
        read_bundle(bundle, threads=1)


def test_a_missing_part_is_found(bundle: Path) -> None:
    (bundle / EXPLAIN).unlink()
    with pytest.raises(BundleError, match=r"explain\.onnx is missing"):
        read_attribution(bundle, threads=1)


def outside_weights() -> bytes:
    part = onnx.load_from_string(PART)
    tensor = part.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return part.SerializeToString()


def without_grid() -> bytes:
    part = onnx.load_from_string(PART)
    part.ClearField("metadata_props")
    return part.SerializeToString()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (b"not an onnx file", "not an ONNX file"),
        (outside_weights(), "in another file"),
        (without_grid(), "no attribution"),
        (b"", "no attribution"),
        (PART[: len(PART) // 2], "ONNX"),
    ],
    ids=["text", "weights elsewhere", "no grid", "empty", "half"],
)
def test_a_part_that_does_not_fit_is_refused(part: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        AttributionModel(NETWORK, part, threads=1)


def test_a_part_of_another_network_is_refused() -> None:
    with pytest.raises(BundleError, match="not a runnable ONNX model"):
        AttributionModel(blue_network().SerializeToString(), PART, threads=1)
