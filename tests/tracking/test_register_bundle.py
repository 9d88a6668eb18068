"""A site's child is a version that names its parent: it is compared, promoted, shadowed, downloaded, rolled back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.adapted import adapted_metadata
from dr_pipeline.bundle.golden import make_golden
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.files import sha256_bytes
from dr_pipeline.tracking.registry import MODEL_NAME, register
from dr_pipeline.tracking.store import Store
from tests.factories.bundles import WEIGHTS, make_bundle, onnx_model, photograph
from tests.factories.lesion_networks import colour_network
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow

# Wide enough that thirty photographs pass: what is tested here is the way of the bundles, not the statistics.
MARGINS = "promotion:\n  margins: {qwk: 2, referable_auc: 1, referable_sensitivity: 1, referable_specificity: 1, "
MARGINS += "vision_threatening_sensitivity: 1, ungradable: 1, brier: 2, ece: 1}\n"


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty graded photographs, two of each patient."""
    folder = tmp_path_factory.mktemp("site")
    rows = ["image,grade,patient"]
    for number in range(30):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
        rows.append(f"{number}.jpg,{number // 2 % 5},P{number // 2}")
    (folder / "labels.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    return folder


def adapted(parent: Path, out: Path) -> Path:
    """A child of another network, as `recalibrate --adapt-batch-norm` writes it."""
    model, read = onnx_model(seed=7), read_bundle(parent, threads=1)
    report = {"site": "west", "used": 50, "photographs": 60, "validated": "no: without labels"}
    metadata = adapted_metadata(read.metadata, read.decision, sha256_bytes(model), report)
    golden = make_golden(OnnxModel(model, threads=1), read.decision)
    write_bundle(out, model=model, weights=WEIGHTS, metadata=metadata, golden=golden)
    return out


def bundle_of(client: Any, alias: str) -> str:
    return str(client.get_model_version_by_alias(MODEL_NAME, alias).tags["bundle_id"])


def test_the_life_of_a_child(
    repository: Repository, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = make_bundle(repository.root / "data" / "release")
    child = adapted(parent, tmp_path / "child")
    parent_id, child_id = (identify_bundle(path).bundle_id for path in (parent, child))
    assert cli.main(["track", "register", str(child)]) == 2
    assert f"its parent, bundle {parent_id}, is not registered" in capsys.readouterr().err
    register(parent)
    assert cli.main(["pack", str(child), "--out", str(tmp_path / "child.drbundle")]) == 0
    assert cli.main(["track", "register", str(tmp_path / "child.drbundle")]) == 0
    assert cli.main(["track", "register", str(child)]) == 0
    shown = capsys.readouterr().out
    assert f"bundle {child_id} is version 2, child of version 1. Research use only" in shown
    assert f"bundle {child_id} is version 2, as before, child of version 1" in shown
    client = Store(repository.root).client
    tags = client.get_model_version(MODEL_NAME, "2").tags
    assert tags == tags | {"parent": parent_id, "parent_version": "1", "made_by": "adaptation", "site": "west"}
    assert (bundle_of(client, "champion"), bundle_of(client, "challenger")) == (parent_id, child_id)

    (tmp_path / "params.yaml").write_text(
        (repository.root / "params.yaml").read_text().partition("promotion:")[0] + MARGINS
    )
    promote = ["promote", "challenger", "--params", str(tmp_path / "params.yaml")]
    assert cli.main(promote) == 2
    assert "then promote --comparison" in capsys.readouterr().err
    for alias in ("champion", "challenger"):
        assert cli.main(["track", "download", alias, "--out", str(tmp_path / alias)]) == 0
    assert identify_bundle(tmp_path / "challenger").sha256 == identify_bundle(child).sha256
    places = ["--photographs", str(site), "--labels", str(site / "labels.csv"), "--workers", "1", "--replicates", "200"]
    pair = [str(tmp_path / "champion"), str(tmp_path / "challenger")]
    assert cli.main(["compare", *pair, *places, "--out", str(tmp_path / "compared")]) in (0, 1)
    assert cli.main(["compare", *pair[::-1], *places, "--out", str(tmp_path / "turned")]) in (0, 1)
    shadow = ["--bundle", pair[0], "--shadow", pair[1], "--out", str(tmp_path / "rows.csv"), "--workers", "1"]
    assert cli.main(["score", str(site), *shadow]) == 0
    assert (tmp_path / "rows.agreement.json").is_file()

    assert cli.main([*promote, "--comparison", str(tmp_path / "turned" / "comparison.json")]) == 2
    assert f"compares {child_id} with {parent_id}, not bundle {parent_id}" in capsys.readouterr().err
    assert cli.main([*promote, "--comparison", str(tmp_path / "compared" / "comparison.json")]) == 0
    assert (bundle_of(client, "champion"), bundle_of(client, "previous")) == (child_id, parent_id)
    assert "by comparison.json; 30 photographs" in client.get_model_version(MODEL_NAME, "2").tags["promotion"]
    assert cli.main(["rollback"]) == 0
    assert (bundle_of(client, "champion"), bundle_of(client, "previous")) == (parent_id, child_id)


def test_a_bundle_with_another_network_for_lesions_is_another_version(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = make_bundle(tmp_path / "plain")
    finding = make_bundle(tmp_path / "finding", lesions=colour_network())
    for bundle, said in ((plain, "is version 1"), (finding, "is version 2"), (finding, "is version 2, as before")):
        assert cli.main(["track", "register", str(bundle)]) == 0
        assert said in capsys.readouterr().out
    assert cli.main(["track", "download", str(finding), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "lesions.onnx").read_bytes() == colour_network()
    assert cli.main(["track", "download", "1", "--out", str(tmp_path / "first")]) == 0
    assert not (tmp_path / "first" / "lesions.onnx").exists()


def test_what_is_damaged_or_unknown_is_neither_registered_nor_written(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = make_bundle(tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(np.zeros(4).tobytes())
    assert cli.main(["track", "register", str(broken)]) == 2
    assert "weights.safetensors was altered" in capsys.readouterr().err
    assert cli.main(["track", "download", "champion", "--out", str(tmp_path / "out")]) == 2
    assert "track register BUNDLE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
