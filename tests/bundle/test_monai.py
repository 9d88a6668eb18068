"""MONAI's own check accepts the bundle's description, by the newest schema that MONAI publishes.

monai_meta_schema_20240725.json is a copy, byte for byte, of meta_schema_20240725.json of release 0.8.1 of
Project-MONAI/MONAI-extra-test-data, as Project-MONAI/project-monai.github.io (Apache-2.0, commit abfc051) has it.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle

SCHEMA = REPOSITORY / "tests" / "bundle" / "monai_meta_schema_20240725.json"

pytestmark = pytest.mark.slow  # imports MONAI


@pytest.mark.parametrize("name", ["configs/metadata.json", "metadata.json"])
def test_verify_metadata_accepts_it(tmp_path: Path, name: str) -> None:
    from monai.bundle import verify_metadata

    bundle = make_bundle(tmp_path / "release")
    schema = shutil.copy(SCHEMA, tmp_path / "schema.json")  # where it is, MONAI downloads nothing
    verify_metadata(meta_file=str(bundle / name), filepath=str(schema))
    metadata = json.loads((bundle / name).read_text())
    assert metadata["schema"].endswith("/meta_schema_20240725.json")
    metadata["label_classes"] = {"0": "No DR"}
    (tmp_path / "wrong.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(meta_file=str(tmp_path / "wrong.json"), filepath=str(schema))
