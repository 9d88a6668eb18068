"""The bundle of a candidate, with and without a network for lesions."""

from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.lesions import read_lesions
from dr_pipeline.bundle.read import Bundle
from dr_pipeline.deployment.package_candidate import CandidateParts, package_candidate
from dr_pipeline.deployment.training_reference import DevelopmentData
from dr_pipeline.errors import BundleError
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.tables.manifest import write_manifest
from tests.factories.bundles import GRADABILITY, LATENCY
from tests.factories.lesion_networks import COLOURS, colour_network

pytestmark = pytest.mark.slow


def packaged(single: Path, out: Path, lesions: Path | None = None) -> Bundle:
    """Packages the candidate of the fixture."""
    place = out.parent
    fitted = {"split": "development", "splits_sha256": sha256_file(single / "splits.csv")}
    write_json(place / "gradability.json", GRADABILITY.to_dict() | {"fitted_on": fitted})
    write_json(place / "latency.json", {"latency": {"tiny": LATENCY}})
    write_manifest(place / "audited.csv", [])
    data = DevelopmentData(
        canvas_index=single / "canvases" / "index.csv",
        splits=single / "splits.csv",
        statuses=single / "gradability.csv",
        validation=single / "validation" / "predictions.csv",
        manifest=place / "audited.csv",
    )
    parts = CandidateParts(
        export=single / "export",
        decision=single / "validation" / "decision.json",
        validation=single / "validation.json",
        latency=place / "latency.json",
        gradability=place / "gradability.json",
        development=data,
        lesions=lesions,
    )
    return package_candidate("tiny", parts, out, budget_ms=55.0)


def test_the_network_for_lesions_is_a_file_more_and_changes_no_grade(single: Path, tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(colour_network())
    without, found = packaged(single, tmp_path / "a"), packaged(single, tmp_path / "b", tmp_path / "own.onnx")
    assert without.bundle_id == found.bundle_id
    files = {
        name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.is_file()} for name in "ab"
    }
    assert files["b"].pop("lesions.onnx") == colour_network()
    differing = {name for name in files["b"] if files["a"][name] != files["b"][name]}
    assert differing == {"MODEL_CARD.md", "SHA256SUMS"}
    assert b"lesions.onnx" not in files["a"]["MODEL_CARD.md"]
    assert b"## Lesions" in files["b"]["MODEL_CARD.md"]
    model = read_lesions(tmp_path / "b", threads=1)
    assert model is not None
    assert [kind.name for kind in model.description.counting.kinds] == list(COLOURS)

    packaged(single, tmp_path / "b")  # the section was removed
    assert not (tmp_path / "b" / "lesions.onnx").exists()
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == sorted(
        path.name for path in (tmp_path / "a").iterdir()
    )


def test_a_network_for_lesions_that_cannot_be_read_is_not_packaged(single: Path, tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(b"not a network")
    with pytest.raises(BundleError, match=r"not an ONNX file"):
        packaged(single, tmp_path / "a", tmp_path / "own.onnx")
    assert not (tmp_path / "a").exists()


def test_a_bundle_with_lesions_is_packed_and_verified_as_a_whole(
    single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.onnx").write_bytes(colour_network())
    packaged(single, tmp_path / "a", tmp_path / "own.onnx")
    packed, out = tmp_path / "a.drbundle", tmp_path / "out"
    assert cli.main(["pack", str(tmp_path / "a"), "--out", str(packed)]) == 0
    assert cli.main(["unpack", str(packed), "--out", str(out)]) == 0
    assert cli.main(["verify", str(packed)]) == 0
    assert (out / "lesions.onnx").read_bytes() == colour_network()
    assert read_lesions(packed, threads=1) is not None
    (out / "lesions.onnx").chmod(0o644)
    (out / "lesions.onnx").write_bytes(colour_network(colours={"fovea": (0, 0, 255)}))
    capsys.readouterr()
    assert cli.main(["verify", str(out)]) == 2
    assert "lesions.onnx was altered" in capsys.readouterr().err
