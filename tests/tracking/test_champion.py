"""The champion of the registry changes by a comparison, a stated reason or a rollback, and every change is recorded."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline import cli
from dr_pipeline.evaluation.comparison import ENDPOINTS
from dr_pipeline.files import read_json
from dr_pipeline.tracking.registry import MODEL_NAME
from dr_pipeline.tracking.store import Store
from tests.factories.bundles import make_bundle
from tests.factories.registry import TRUE, register_version, wrong
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(empty_store: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository whose registry has four versions: some mistakes, none, many, and none on another split."""
    root = tmp_path_factory.mktemp("team") / "repository"
    root.mkdir()
    (root / "mlflow.db").write_bytes(empty_store)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("DR_PIPELINE_TRACKING", "on")
        patch.chdir(root)
        repository = Repository(root)
        register_version(repository, 1, wrong(8), validation=".")
        register_version(repository, 2, TRUE, validation="onnx-int8")
        register_version(repository, 3, wrong(2))
        register_version(repository, 4, TRUE, split="b" * 64)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)  # registering has set it, in this process
        yield root


@pytest.fixture
def client(versions: Path) -> Any:
    """The registry as registering left it."""
    client = Store(versions).client
    for name in ("previous", "champion", "challenger"):
        client.delete_registered_model_alias(MODEL_NAME, name)
    client.set_registered_model_alias(MODEL_NAME, "champion", "1")
    client.set_registered_model_alias(MODEL_NAME, "challenger", "2")
    model = client.get_registered_model(MODEL_NAME)
    for tag in model.tags:
        client.delete_registered_model_tag(MODEL_NAME, tag)
    return client


def aliases(client: Any) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model(MODEL_NAME).aliases.items()}


def history(client: Any) -> list[str]:
    tags = client.get_registered_model(MODEL_NAME).tags
    return [tags[name] for name in sorted(tags) if name.startswith("champion.")]


UNCHANGED = {"champion": 1, "challenger": 2}


def test_a_better_version_becomes_champion_and_rollback_swaps_them(
    client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["promote", "challenger"]) == 0
    assert aliases(client) == {"champion": 2, "previous": 1}
    shown = capsys.readouterr().out
    assert "champion: version 2" in shown
    assert "400 photographs, 40 with another answer; verdict: not inferior" in shown
    assert re.search(r"qwk: 0\.9\d\d → 1\.000, difference 0\.0.*n = 400\); margin 0\.02: not inferior", shown)
    assert "vision_threatening_sensitivity: " in shown
    assert "Research use only" in shown
    assert cli.main(["rollback", "--reason", "slow on  the van's PC"]) == 0
    assert aliases(client) == {"champion": 1, "previous": 2}
    assert cli.main(["rollback"]) == 0
    assert aliases(client) == {"champion": 2, "previous": 1}
    first, second, third = history(client)
    assert first.startswith("version 2 after 1; promoted; on the test split; 400 photographs")
    assert len(first) < 2000  # MLflow's table holds 5000 characters
    assert second == "version 1 after 2; rolled back; reason: slow on the van's PC"
    assert third == "version 2 after 1; rolled back"
    assert client.get_model_version(MODEL_NAME, "2").tags["promotion"] == third


def test_a_worse_version_is_refused_with_the_figures(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promote", "3"]) == 2
    message = capsys.readouterr().err
    assert "version 3 does not replace the champion, version 1: qwk is inferior, " in message
    assert "difference -0." in message
    assert "margin 0.02: inferior" in message
    assert ", referable_sensitivity is not shown" in message
    assert aliases(client) == UNCHANGED
    assert history(client) == []


def test_margins_are_those_of_the_parameters(client: Any, versions: Path, tmp_path: Path) -> None:
    params, text = tmp_path / "params.yaml", (versions / "params.yaml").read_text()
    others = text.partition("promotion:")[0]
    margins = "".join(f"    {name}: 0.9\n" for name in ENDPOINTS if name != "qwk")
    params.write_text(f"{others}promotion:\n  margins:\n    qwk: null\n{margins}")
    assert cli.main(["promote", "3", "--params", str(params), "--out", str(tmp_path / "out")]) == 0
    report = read_json(tmp_path / "out" / "comparison.json")
    assert {name: one["margin"] for name, one in report["endpoints"].items()} == dict.fromkeys(ENDPOINTS, 0.9) | {
        "qwk": None
    }
    assert "version 3" in (tmp_path / "out" / "index.html").read_text()
    stored = client.download_artifacts(client.get_model_version(MODEL_NAME, "3").run_id, "promotion", str(tmp_path))
    assert read_json(Path(stored) / "3" / "comparison.json") == report
    params.write_text(text.replace("    qwk: 0.02\n", "    kappa: 0.02\n"))
    assert cli.main(["promote", "3", "--params", str(params)]) == 2
    assert aliases(client)["champion"] == 3


def test_a_reason_forces_and_is_kept(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promote", "3", "--force", "the only one that reads the new camera"]) == 0
    assert "verdict: inferior" in capsys.readouterr().out
    assert aliases(client) == {"champion": 3, "previous": 1, "challenger": 2}
    tags = client.get_model_version(MODEL_NAME, "3").tags
    assert tags["promotion.forced"] == "the only one that reads the new camera"
    assert history(client)[0].endswith("forced: the only one that reads the new camera")
    with pytest.raises(SystemExit):
        cli.main(["promote", "3", "--force", " "])


def test_versions_of_different_splits_are_not_compared(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promote", "4"]) == 2
    message = capsys.readouterr().err
    assert "different splits" in message
    assert "aaaaaaaa" in message
    assert "bbbbbbbb" in message
    assert aliases(client) == UNCHANGED
    assert cli.main(["promote", "4", "--force", "another split"]) == 0
    assert "not compared: the versions were graded on different splits" in history(client)[0]


def test_validation_where_both_were_graded_on_it(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promote", "2", "--on", "validation"]) == 0
    assert "on the validation split" in history(client)[0]
    assert cli.main(["promote", "3", "--on", "validation"]) == 2
    assert "version 3 (bundle" in (message := capsys.readouterr().err)
    assert "no graded photographs of the validation split" in message


def test_a_bundle_names_its_version(
    client: Any, versions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["promote", "data/release"]) == 2  # version 4, of another split
    assert "version 4 on bbbb" in capsys.readouterr().err
    make_bundle(tmp_path / "stranger")
    assert cli.main(["promote", str(tmp_path / "stranger")]) == 2
    assert "is not registered" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["9", "no-such", "previous", "0", "2 or true"])
def test_an_unknown_version_lists_those_that_are_there(
    client: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["promote", name]) == 2
    message = capsys.readouterr().err
    assert "it has the versions 1, 2, 3, 4" in message
    assert "Traceback" not in message
    assert aliases(client) == UNCHANGED


def test_the_champion_itself_changes_nothing(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promote", "1"]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert aliases(client) == UNCHANGED
    assert history(client) == []


def test_rollback_without_a_previous_champion(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rollback"]) == 2
    assert "no previous champion" in capsys.readouterr().err
    assert aliases(client) == UNCHANGED


def test_the_first_champion_needs_no_comparison(client: Any) -> None:
    client.delete_registered_model_alias(MODEL_NAME, "champion")
    assert cli.main(["promote", "4"]) == 0
    assert aliases(client) == {"champion": 4, "challenger": 2}
    assert history(client) == ["version 4 after none; promoted"]


def test_a_damaged_bundle_is_no_champion(client: Any, versions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(client.get_model_version(MODEL_NAME, "2").source.rpartition("/")[2])
    (path,) = (versions / "mlruns").rglob(f"{model}/artifacts/data/release/model.onnx")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        assert cli.main(["promote", "2", "--force", "in a hurry"]) == 2
    finally:
        path.write_bytes(data)
    assert "model.onnx was altered" in capsys.readouterr().err
    assert aliases(client) == UNCHANGED


def test_the_store_has_no_ids_and_only_its_owner_reads_it(client: Any, versions: Path) -> None:
    tables = list((versions / "mlruns").rglob("predictions/*/*.csv"))
    assert sorted(path.name for path in tables) == ["test.csv"] * 4 + ["validation.csv"] * 2
    for path in tables:
        assert "Meier" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_registry_says_how_to_fill_it(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert os.environ.get("MLFLOW_TRACKING_URI") is None
    assert cli.main(["promote", "1"]) == 2
    assert "dr-pipeline track rebuild" in capsys.readouterr().err
