"""What a training depends on: code, libraries, and the files that its values name."""

from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.training import run_identity as provenance


def test_files_and_bundles_count_by_their_content(tmp_path: Path) -> None:
    weights, bundle = tmp_path / "w.safetensors", tmp_path / "bundle"
    bundle.mkdir()
    found = [provenance.provenance("timm", "none")]
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        (bundle / "metadata.json").write_bytes(content)
        found.append(provenance.provenance(f"file:{weights}#sha256", "none"))
        found.append(provenance.provenance("none", f"bundle:{bundle}"))
    hashes = [(one["weights_sha256"], one["teacher_sha256"]) for one in found]
    assert hashes[0] == ("", "")
    assert len(set(hashes)) == 5
    assert provenance.provenance(f"file:{tmp_path}/none", f"bundle:{tmp_path}") == found[0]


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    index = tmp_path / "w.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "w-1.safetensors"}}')
    with pytest.raises(DataError, match=r"w-1\.safetensors"):
        provenance.provenance(f"file:{index}", "none")
