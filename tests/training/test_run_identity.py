"""What a training rests on: code by its meaning, libraries, and the files that its values name."""

from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.training import run_identity as provenance
from dr_pipeline.training.run_identity import code_sha256, meaning


def test_comments_and_docstrings_are_no_part_of_the_code() -> None:
    assert meaning('"""A."""\ndef f():\n    """B."""\n    return 1  # c\n') == meaning("def f():\n    return 1\n")
    assert meaning("x = 1") != meaning("x = 2")
    assert meaning('class A:\n    """Only this."""\n') == meaning("class A:\n    pass\n")


@pytest.mark.parametrize(
    "name", ["training/loop.py", "models/losses/coral.py", "splitting/read.py", "bundle/session.py"]
)
def test_the_code_of_every_room_that_decides_a_training_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_sha256.__wrapped__()
    read = Path.read_text

    def edited(path: Path, encoding: str) -> str:
        return read(path, encoding) + "\nEDITED = 1\n" * path.as_posix().endswith(f"dr_pipeline/{name}")

    monkeypatch.setattr(Path, "read_text", edited)
    assert code_sha256.__wrapped__() != before


def test_further_code_may_count_too() -> None:
    assert len({code_sha256(), code_sha256("experiments/canvases.py")}) == 2


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
