"""A .drbundle is read wherever a bundle's folder is."""

from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.bundle_files import SIGNATURE
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.reference import read_reference
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.bundle_storage import file_names, pack_files, read_stored
from dr_pipeline.errors import BundleError, ParamsError
from dr_pipeline.models.weights.trained_weights import read_bundle_weights
from dr_pipeline.training.run_identity import provenance, require_disjoint
from tests.factories.bundles import make_bundle, photograph
from tests.factories.drift import make_reference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release", reference=make_reference())


@pytest.fixture(scope="module")
def packed(folder: Path) -> Path:
    out = folder.with_name("a.drbundle")
    pack_files({name: read_stored(folder, name) for name in file_names(folder)}, out)
    return out


def test_it_is_the_same_bundle(folder: Path, packed: Path) -> None:
    assert identify_bundle(packed) == identify_bundle(folder)
    assert read_reference(packed) == read_reference(folder)
    one, other = read_bundle(packed, threads=1), read_bundle(folder, threads=1)
    assert (one.bundle_id, one.metadata, one.decision) == (other.bundle_id, other.metadata, other.decision)
    assert one.golden_difference == other.golden_difference
    verify_weights(packed)


def test_it_is_not_packed_into_its_own_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pack", str(folder), "--out", str(folder / "release.drbundle")]) == 2
    assert "inside the bundle" in capsys.readouterr().err
    read_bundle(folder, threads=1)


def test_a_file_that_no_bundle_has_is_refused(packed: Path, tmp_path: Path) -> None:
    files = {name: read_stored(packed, name) for name in file_names(packed)}
    pack_files({**files, "extra.py": b""}, tmp_path / "a.drbundle")
    with pytest.raises(BundleError, match="does not belong"):
        read_bundle(tmp_path / "a.drbundle", threads=1)
    del files["model.onnx"]
    pack_files(files, tmp_path / "a.drbundle")
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        read_bundle(tmp_path / "a.drbundle", threads=1)


def test_training_that_starts_from_it_is_guarded_as_with_a_folder(folder: Path, packed: Path) -> None:
    assert provenance(f"bundle:{packed}", "none") == provenance(f"bundle:{folder}", "none")
    one, other = (read_bundle_weights(f"bundle:{path}") for path in (folder, packed))
    assert one.bundle_id == other.bundle_id
    assert one.tensors.keys() == other.tensors.keys() == {"weights"}
    hashes = read_bundle(folder, threads=1).metadata["data_hashes"]
    for source in (f"bundle:{folder}", f"bundle:{packed}#0f"):
        with pytest.raises(ParamsError, match="fold 0 of this very split"):
            require_disjoint(source, where="weights", **hashes, fold=1)


def test_commands_take_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed, again, photographs = tmp_path / "a.drbundle", tmp_path / "again", tmp_path / "photographs"
    assert cli.main(["pack", str(folder), "--out", str(packed)]) == 0
    assert cli.main(["unpack", str(packed), "--out", str(again)]) == 0
    assert file_names(again) == file_names(folder) == file_names(packed)
    assert cli.main(["verify", str(packed)]) == cli.main(["verify", str(again)]) == 0
    assert SIGNATURE not in file_names(packed)
    assert "not signed" in capsys.readouterr().out
    photographs.mkdir()
    (photographs / "one.jpg").write_bytes(photograph(0))
    tables = []
    for bundle in (folder, packed):
        table = tmp_path / f"{bundle.stem}.csv"
        score = ["score", str(photographs), "--bundle", str(bundle), "--out", str(table), "--workers", "1"]
        assert cli.main(score) == 0
        tables.append(table.read_bytes())
    assert tables[0] == tables[1]
