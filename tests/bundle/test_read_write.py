import errno
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr_pipeline import cli
from dr_pipeline.bundle.bundle_files import (
    CARD,
    CONTENT,
    GOLDEN,
    LISTED,
    METADATA,
    MODEL,
    MONAI_METADATA,
    SUMS,
    WEIGHTS,
    sums_text,
)
from dr_pipeline.bundle.golden import Golden, draw_disc, make_golden
from dr_pipeline.bundle.metadata import identify
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.schema import RESEARCH_USE
from tests.factories.bundles import DECISION, FIGURE, GRADABILITY, PIXEL_PATH, make_bundle, metadata_of, onnx_model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("made") / "release")


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made, tmp_path / "release")


def _sign_again(root):
    """What a bundle looks like whose maker was wrong, not whose disk was."""
    listed = (name for name in LISTED if (root / name).is_file())
    (root / SUMS).write_text(sums_text({name: (root / name).read_bytes() for name in listed}))


def _change_metadata(root, change):
    metadata = json.loads((root / METADATA).read_text())
    change(metadata)
    for name in (METADATA, MONAI_METADATA):
        (root / name).write_text(json.dumps(metadata))
    _sign_again(root)


def test_reads_back_what_was_written(bundle):
    read = read_bundle(bundle, threads=1)
    assert read.decision == DECISION
    assert read.pixel_path == PIXEL_PATH
    assert read.gradability == GRADABILITY
    expected = identify(sha256_bytes(onnx_model()), PIXEL_PATH, DECISION, GRADABILITY)
    assert read.bundle_id == read.metadata["bundle_id"] == expected
    assert read.golden_difference <= 1e-6


def test_equal_input_gives_equal_bytes(bundle, tmp_path):
    again = make_bundle(tmp_path / "again")
    for name in (SUMS, MONAI_METADATA, *CONTENT):
        assert (again / name).read_bytes() == (bundle / name).read_bytes(), name


def test_sums_are_those_of_sha256sum(bundle):
    for line in (bundle / SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert sha256_bytes((bundle / name).read_bytes()) == digest


@pytest.mark.parametrize("name", [MONAI_METADATA, *CONTENT])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_changed_byte_is_found_and_named(bundle, name, where):
    data = bytearray((bundle / name).read_bytes())
    data[{"first": 0, "middle": len(data) // 2, "last": -1}[where]] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name} was altered"):
        verify_weights(bundle) if name == WEIGHTS else read_bundle(bundle, threads=1)


def test_scoring_does_not_read_the_weights_of_training(bundle):
    (bundle / WEIGHTS).write_bytes(b"")
    read_bundle(bundle, threads=1)
    with pytest.raises(BundleError, match="was altered"):
        verify_weights(bundle)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_the_sums_is_found(bundle, data):
    whole = (bundle / SUMS).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    (bundle / SUMS).write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
    try:
        with pytest.raises(BundleError):  # noqa: PT012 (the weights' line is read by verify alone)
            read_bundle(bundle, threads=1)
            verify_weights(bundle)
    finally:
        (bundle / SUMS).write_bytes(whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.split("\n", 1)[1],
        lambda text: text + text,
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(reversed(text.splitlines(keepends=True))),
    ],
    ids=["empty", "a line less", "twice", "no last newline", "CRLF", "another order"],
)
def test_sums_have_one_spelling(bundle, change):
    (bundle / SUMS).write_bytes(change((bundle / SUMS).read_text()).encode())
    with pytest.raises(BundleError):
        read_bundle(bundle, threads=1)


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/passwd", "sub/model.onnx", "other.bin"])
def test_sums_cannot_name_another_file(bundle, name):
    (bundle.parent / "outside.onnx").write_bytes(b"x")
    (bundle / SUMS).write_text((bundle / SUMS).read_text() + f"{sha256_bytes(b'x')}  {name}\n")
    with pytest.raises(BundleError, match="which no bundle has"):
        read_bundle(bundle, threads=1)


@pytest.mark.parametrize("name", [SUMS, MONAI_METADATA, *CONTENT])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        read_bundle(bundle, threads=1)


def test_what_a_system_leaves_in_the_folder_is_no_part_of_it(bundle):
    for name in (".DS_Store", "._model.onnx", "Thumbs.db", "desktop.ini", "Icon\r"):
        (bundle / name).write_bytes(b"x")
    (bundle / "@eaDir").mkdir()
    (bundle / "@eaDir" / "model.onnx").write_bytes(b"x")
    (bundle / "configs" / ".DS_Store").write_bytes(b"x")
    assert read_bundle(bundle, threads=1).bundle_id
    make_bundle(bundle)  # replaces it
    assert {path.name for path in bundle.iterdir()} == {SUMS, "configs", *CONTENT}


def test_a_folder_that_only_a_system_has_written_to_is_empty(tmp_path):
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / ".DS_Store").write_bytes(b"x")
    make_bundle(tmp_path / "release")


@pytest.mark.parametrize("name", ["extra.py", "model.onnx.data", ".hidden", "configs/train.json"])
def test_an_unknown_file_is_named(bundle, name):
    (bundle / name).write_bytes(b"")
    with pytest.raises(BundleError, match="does not belong"):
        read_bundle(bundle, threads=1)


def test_a_file_or_nothing_is_no_bundle(tmp_path):
    for path in (tmp_path / "absent", tmp_path / "file"):
        if path.name == "file":
            path.touch()
        with pytest.raises(BundleError, match="there is no bundle"):
            read_bundle(path, threads=1)


def test_another_schema_version_is_refused(bundle):
    _change_metadata(bundle, lambda metadata: metadata.update(schema_version=5))
    with pytest.raises(BundleError, match="schema_version 5"):
        read_bundle(bundle, threads=1)


def test_a_bundle_of_before_there_were_weights_is_to_be_remade(bundle):
    _change_metadata(bundle, lambda metadata: metadata.update(schema_version=1))
    (bundle / WEIGHTS).unlink()
    with pytest.raises(BundleError, match=r"schema_version 1.*reads 2, 3 and 4[\s\S]*with `dvc repro package`"):
        read_bundle(bundle, threads=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("decision"),
        lambda m: m.update(preprocessing=None),
        lambda m: m.update(bundle_id="0" * 16),
        lambda m: m["decision"].update(temperature=2.0),
        lambda m: m["preprocessing"]["pixel_path"].update(canvas_px=128),
        lambda m: m["model"].update(input_px=64),
    ],
    ids=["no decision", "no path", "id", "temperature", "canvas", "input_px"],
)
def test_metadata_that_contradicts_the_files_is_refused(bundle, change):
    _change_metadata(bundle, change)
    with pytest.raises(BundleError):
        read_bundle(bundle, threads=1)


@pytest.mark.parametrize("version", [4, 99, "5", None])
def test_an_unknown_version_of_preprocessing_is_refused_with_the_way_out(bundle, version):
    _change_metadata(bundle, lambda m: m["preprocessing"]["pixel_path"].update(version=version))
    with pytest.raises(
        BundleError, match=rf"pixel path version {version!r}; this program has 5[\s\S]*use the program of"
    ):
        read_bundle(bundle, threads=1)


@pytest.mark.parametrize("text", [b"[]", b"{", b"\xff", b"null"])
def test_metadata_that_is_no_object_is_refused(bundle, text):
    (bundle / METADATA).write_bytes(text)
    _sign_again(bundle)
    with pytest.raises(BundleError):
        read_bundle(bundle, threads=1)


def test_a_bundle_that_fails_its_self_test_does_not_load(bundle):
    golden = Golden.from_bytes((bundle / GOLDEN).read_bytes(), where="")
    wrong = Golden(golden.inputs, golden.logits + np.eye(5, dtype=np.float32)[0] * 0.01, golden.grades)
    (bundle / GOLDEN).write_bytes(wrong.to_bytes())
    _sign_again(bundle)
    with pytest.raises(BundleError, match="self-test failed"):
        read_bundle(bundle, threads=1)
    (bundle / GOLDEN).write_bytes(Golden(golden.inputs, golden.logits, (golden.grades + 1) % 5).to_bytes())
    _sign_again(bundle)
    with pytest.raises(BundleError, match="self-test failed"):
        read_bundle(bundle, threads=1)


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_in_the_golden_file_is_refused(bundle):
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([_Bomb()], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("inputs", "logits", "grades"):
            out.writestr(f"{name}.npy", member.getvalue())
    for data in (archive.getvalue(), pickle.dumps(_Bomb()), b"", b"PK"):
        (bundle / GOLDEN).write_bytes(data)
        _sign_again(bundle)
        with pytest.raises(BundleError, match="golden inputs"):
            read_bundle(bundle, threads=1)


def test_golden_inputs_are_drawings_clear_of_the_cut_points(bundle):
    golden = Golden.from_bytes((bundle / GOLDEN).read_bytes(), where="")
    drawings = {draw_disc(seed, golden.inputs.shape[1]).tobytes() for seed in range(64)}
    assert len(golden.inputs) >= 4
    assert all(picture.tobytes() in drawings for picture in golden.inputs)
    expected = DECISION.apply(golden.logits).expected_grade
    assert np.abs(expected[:, None] - np.array(DECISION.cut_points)).min() > 1e-3


def test_a_network_that_knows_only_a_cut_point_is_packed_and_replayed_by_its_probabilities():
    flat = OnnxModel(onnx_model(scale=0.0), threads=1)  # expected grade 2 everywhere
    cut_there = type(DECISION)(1.0, (0.5, 2.0, 2.5, 3.5), 0.5, 0.1, {})
    golden = make_golden(flat, cut_there)
    assert golden.replay(flat, cut_there, where="here") == 0.0
    turned = Golden(golden.inputs, golden.logits, golden.grades + 1)
    assert turned.replay(flat, cut_there, where="here") == 0.0  # rounding may turn a grade at a cut point
    drifted = Golden(golden.inputs, golden.logits + np.arange(5, dtype=np.float32), golden.grades)
    with pytest.raises(BundleError, match="self-test failed"):
        drifted.replay(flat, cut_there, where="here")


def test_the_id_stands_for_what_determines_a_grade():
    model = onnx_model()
    one = metadata_of(model)["bundle_id"]
    assert metadata_of(model, validation={"qwk": FIGURE | {"value": 0.1}})["bundle_id"] == one
    assert metadata_of(onnx_model(seed=1))["bundle_id"] != one
    assert len(one) == 16


# The mandatory entries of the MONAI Bundle Specification (mb_specification.rst), and what later bundles add.
MONAI_KEYS = {
    "version",
    "changelog",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "optional_packages_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}
MONAI_TENSOR_KEYS = {
    "type",
    "format",
    "modality",
    "num_channels",
    "spatial_shape",
    "dtype",
    "value_range",
    "is_patch_data",
    "channel_def",
}


def test_metadata_is_a_superset_of_monais(bundle):
    metadata = json.loads((bundle / METADATA).read_text())
    assert set(metadata) >= MONAI_KEYS
    formats = metadata["network_data_format"]
    for tensor in (*formats["inputs"].values(), *formats["outputs"].values()):
        assert set(tensor) >= MONAI_TENSOR_KEYS
    assert metadata["version"] in metadata["changelog"]


def test_everything_a_reader_sees_says_research_use(bundle):
    assert RESEARCH_USE in (bundle / CARD).read_text()
    metadata = json.loads((bundle / METADATA).read_text())
    assert RESEARCH_USE in metadata["intended_use"]


@pytest.mark.parametrize("entry", ["name", "version", "validation"])
def test_an_entry_that_verify_shows_and_is_missing_is_one_message(bundle, entry, capsys):
    _change_metadata(bundle, lambda metadata: metadata.pop(entry))
    assert cli.main(["verify", str(bundle)]) == 2
    assert f"an entry of metadata.json is missing or malformed: '{entry}'" in capsys.readouterr().err


def test_writing_replaces_a_bundle_but_nothing_else(bundle, tmp_path):
    other = onnx_model(seed=7)
    make_bundle(bundle, model=other)
    assert (bundle / MODEL).read_bytes() == other
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").touch()
    golden = make_golden(OnnxModel(other, threads=1), DECISION)
    with pytest.raises(BundleError, match="no bundle"):
        write_bundle(precious, model=other, weights=b"", metadata=metadata_of(other), golden=golden)
    assert [path.name for path in precious.iterdir()] == ["thesis.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "release"]


def test_a_bundle_that_cannot_be_replaced_stays_whole(bundle, tmp_path, monkeypatch):
    """The current folder stands for a mounted one, such as a container's volume: neither can be renamed."""
    other = onnx_model(seed=7)
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    monkeypatch.chdir(bundle)
    with pytest.raises(BundleError, match="cannot be replaced as a whole") as refused:
        make_bundle(Path(), model=other)
    assert refused.value.todo == "name a new folder inside it"
    assert {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()} == before
    assert read_bundle(bundle, threads=1).bundle_id
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_a_bundle_is_back_where_its_successor_cannot_be_put_in_its_place(bundle, tmp_path, monkeypatch):
    replace, earlier_id = Path.replace, read_bundle(bundle, threads=1).bundle_id

    def fail(path, target):
        if Path(target) == bundle:
            raise OSError(errno.EIO, "the disk fails", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="the disk fails"):
        make_bundle(bundle, model=onnx_model(seed=7))
    assert read_bundle(bundle, threads=1).bundle_id == earlier_id
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
