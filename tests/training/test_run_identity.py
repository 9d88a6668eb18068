"""Hashes of what a training depends on, and bundles that would leak validation photographs."""

from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_bytes, write_json
from dr_pipeline.training import run_identity as provenance
from dr_pipeline.training.run_identity import require_disjoint
from tests.factories.packages import install


def test_files_and_bundles_are_hashed_by_content(tmp_path: Path) -> None:
    weights, bundle = tmp_path / "w.safetensors", tmp_path / "bundle"
    bundle.mkdir()
    found = [provenance.provenance("timm", "none")]
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        (bundle / "metadata.json").write_bytes(content)
        found.append(provenance.provenance(f"file:{weights}#{'0' * 64}", "none"))
        found.append(provenance.provenance("none", f"bundle:{bundle}"))
    hashes = [(one["weights_sha256"], one["teacher_sha256"]) for one in found]
    assert hashes[0] == ("", "")
    assert len(set(hashes)) == 5
    assert provenance.provenance(f"file:{tmp_path}/none", f"bundle:{tmp_path}") == found[0]


def test_a_package_is_hashed_by_its_weights_and_reported_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for content in (b"one", b"two"):
        install(tmp_path, "tiny-weights", {"tiny_weights/w.pth": content})
        found = provenance.provenance("package:tiny-weights", "none")
        assert found["weights_sha256"] == sha256_bytes(content)
    with pytest.raises(ParamsError, match="expected 0f"):
        provenance.provenance("package:tiny-weights#0f", "none")
    with pytest.raises(ParamsError, match="not installed"):
        provenance.provenance("package:nobodys-weights", "none")


def test_a_missing_shard_is_reported(tmp_path: Path) -> None:
    index = tmp_path / "w.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "w-1.safetensors"}}')
    with pytest.raises(DataError, match=r"w-1\.safetensors"):
        provenance.provenance(f"file:{index}", "none")


HERE: dict[str, Any] = {"where": "weights", "splits_sha256": "s", "canvas_index_sha256": "c", "fold": 0}


def bundle(folder: Path, *, splits: str, canvases: str, folds: tuple[int, ...]) -> str:
    hashes = {"splits_sha256": splits, "canvas_index_sha256": canvases}
    members = [{"fold": fold, "seed": 20} for fold in folds]
    write_json(folder / "metadata.json", {"data_hashes": hashes, "model": {"ensemble": {"members": members}}})
    return f"bundle:{folder}#0123456789abcdef"


@pytest.mark.parametrize(
    ("splits", "canvases", "folds"), [("s", "c", (0,)), ("s", "c", (0, 0)), ("other", "other", (1, 2))]
)
def test_the_same_fold_and_other_photographs_are_accepted(
    tmp_path: Path, splits: str, canvases: str, folds: tuple[int, ...]
) -> None:
    require_disjoint(bundle(tmp_path, splits=splits, canvases=canvases, folds=folds), **HERE)


@pytest.mark.parametrize("folds", [(1,), (0, 1), (0, 2, 1)])
def test_another_fold_of_the_same_split_is_refused(tmp_path: Path, folds: tuple[int, ...]) -> None:
    with pytest.raises(ParamsError, match="that validate fold 0") as refused:
        require_disjoint(bundle(tmp_path, splits="s", canvases="c", folds=folds), **HERE)
    assert "fold 0 alone" in str(refused.value)


def test_the_same_photographs_under_another_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="under another split"):
        require_disjoint(bundle(tmp_path, splits="other", canvases="c", folds=(0,)), **HERE)


@pytest.mark.parametrize(
    "source", ["timm", "none", "package:tiny-weights#0", "file:weights.safetensors#0", "bundle:nowhere"]
)
def test_a_source_without_bundle_is_accepted_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    require_disjoint(source, **HERE)


def test_unreadable_metadata_are_accepted_here(tmp_path: Path) -> None:
    write_json(tmp_path / "metadata.json", ["no", "description"])
    require_disjoint(f"bundle:{tmp_path}", **HERE)
