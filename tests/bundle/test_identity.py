import shutil
from pathlib import Path

import pytest

from dr_pipeline.bundle.bundle_files import CONTENT, METADATA, MONAI_METADATA, SUMS
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_file
from tests.factories.bundles import make_bundle, onnx_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release")


def test_it_is_the_bundles_own_id_and_the_hash_of_every_file(bundle: Path) -> None:
    identity = identify_bundle(bundle)
    assert identity.bundle_id == read_bundle(bundle, threads=1).bundle_id
    assert identity.sha256 == {name: sha256_file(bundle / name) for name in (*CONTENT, MONAI_METADATA, SUMS)}


def test_another_bundle_has_another(bundle: Path, tmp_path: Path) -> None:
    other = identify_bundle(make_bundle(tmp_path / "other", model=onnx_model(seed=1)))
    assert other.bundle_id != identify_bundle(bundle).bundle_id
    assert other != identify_bundle(bundle)


@pytest.mark.parametrize("name", [SUMS, METADATA])
def test_a_bundle_without_it_or_with_nonsense_in_it_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / name).write_text("nonsense")
    with pytest.raises(BundleError):
        identify_bundle(broken)
    (broken / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        identify_bundle(broken)


def test_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle"):
        identify_bundle(tmp_path / "none")
