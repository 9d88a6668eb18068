"""Stages record themselves; a rebuild from files gives the same; a failing tracker stops nothing."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.files import write_json
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.pretraining import PretrainingRow, write_pretraining
from dr_pipeline.tracking.layout import Item, Layout
from dr_pipeline.tracking.rebuild import rebuild
from dr_pipeline.tracking.run import tracked
from dr_pipeline.tracking.store import Store, files_root, store_root, tracking_uri
from tests.factories.repository import Repository, history

pytestmark = pytest.mark.slow


def runs(root: Path) -> dict[str, Any]:
    """Every run of the store by its name; names are expected to be unique."""
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dr_pipeline")
    found = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def whole_pipeline(repository: Repository) -> None:
    """Records all stages as they would record themselves."""
    with tracked("split") as run:
        repository.split()
    with tracked("train", candidate="lite0", fold=0) as run:
        run.params({"training": {"seed": 20}})
        for row in history(4):
            run.metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))
        repository.train()
        run.artifact(repository.root / "reports" / "training" / "lite0-0.csv")
    with tracked("export", candidate="lite0", fold=0) as run:
        repository.export()
        run.metrics({"parity.changed_grades": 0.0})
    with tracked("validate", candidate="lite0"):
        repository.validate()
    with tracked("latency", candidate="lite0"):
        repository.latency()
    with tracked("test"):
        repository.test()


def shown(root: Path) -> dict[str, Any]:
    """What each run shows, less ids and times."""
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    return {
        name: {
            "params": run.data.params,
            "tags": run.data.tags,
            "status": run.info.status,
            "metrics": {
                key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
                for key in sorted(run.data.metrics)
            },
            "artifacts": sorted(
                entry.path
                for folder in client.list_artifacts(run.info.run_id)
                for entry in client.list_artifacts(run.info.run_id, folder.path)
            ),
        }
        for name, run in runs(root).items()
    }


def test_a_candidate_has_one_run_through_all_its_stages(repository: Repository) -> None:
    whole_pipeline(repository)
    run = runs(repository.root)["lite0-0"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["epoch/validation_qwk"] == pytest.approx(0.65)
    assert run.data.metrics["validation/qwk"] == 0.81
    assert run.data.metrics["validation/qwk.n"] == 120
    assert run.data.metrics["validation/recall.3"] == 0.7
    assert "validation/recall.3.low" not in run.data.metrics
    assert "validation/confusion" not in run.data.metrics
    assert run.data.metrics["latency/p95_ms"] == 17.5
    assert run.data.metrics["training/best_epoch"] == 3
    assert run.data.params["training.augmentation.flip"] == "True"
    written = yaml.safe_load((repository.root / "params.yaml").read_text())
    assert run.data.params["learning_rate"] == str(written["candidates"]["lite0"]["learning_rate"])
    assert not any(name.startswith(("evaluation", "latency")) for name in run.data.params)


def test_tags_join_the_run_with_git_and_dvc(repository: Repository) -> None:
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=repository.root, check=True)
    whole_pipeline(repository)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository.root, capture_output=True, text=True, check=True)
    tags = runs(repository.root)["lite0-0"].data.tags
    assert tags["git.commit"] == head.stdout.strip()
    assert tags["git.dirty"] == "true"
    assert tags["dvc.stage"] == "export@lite0, latency@lite0, train@lite0-0, validate@lite0"
    assert tags["data.data/splits.csv.md5"] == "aaa"
    assert tags["data.data/canvases.md5"] == "bbb.dir"
    assert tags["data.data/exports/lite0.md5"] == "ccc.dir"
    assert tags["version.torch"] == "2.15.0"
    assert tags["device"] == "cpu"
    assert tags["mlflow.note.content"] == RESEARCH_USE
    assert not any("loop.py" in name for name in tags), "code is the git commit's"


def test_the_other_stages_share_one_run_per_state(repository: Repository) -> None:
    whole_pipeline(repository)
    pipeline = runs(repository.root)["pipeline"]
    assert pipeline.data.metrics["test/qwk"] == 0.83
    assert pipeline.data.metrics["split/photographs"] == 430
    assert pipeline.data.params["latency.threads"] == "1"


def test_a_self_supervised_training_shows_its_curves_and_a_former_one_does_not(repository: Repository) -> None:
    document = yaml.safe_load((repository.root / "params.yaml").read_text())
    document["pretraining"] = {"lite0": {}}
    (repository.root / "params.yaml").write_text(yaml.safe_dump(document))
    rows = [
        PretrainingRow(epoch=n, seconds=9, loss=-n / 4, spread=1, learning_rate=0.1, images_per_s=5) for n in range(3)
    ]
    with tracked("pretrain"):
        for name in ("lite0", "former"):
            write_pretraining(repository.root / "reports" / "pretraining" / f"{name}.csv", rows)
    metrics = runs(repository.root)["pipeline"].data.metrics
    assert metrics["pretraining/lite0.loss"] == -0.5
    assert not [name for name in metrics if "former" in name]


def test_figures_on_other_data_sets_stand_beside_those_of_the_test(repository: Repository) -> None:
    """Those of a former bundle do not, until the stage has validated again."""
    write_json(repository.root / "data" / "release" / "metadata.json", {"bundle_id": "b2"})
    (repository.root / "data" / "release" / "MODEL_CARD.md").write_text("card")
    for name, bundle_id in (("near", "b2"), ("far", "b1")):
        repository.external(name, bundle_id)
    with tracked("test"):
        repository.test()
    assert not [name for name in runs(repository.root)["pipeline"].data.metrics if name.startswith("external/")]
    with tracked("external"):
        pass
    shown_metrics = runs(repository.root)["pipeline"].data.metrics
    assert (shown_metrics["test/qwk"], shown_metrics["external/near.qwk"]) == (0.83, 0.7)
    assert shown_metrics["external/near.qwk.n"] == 99
    assert shown_metrics["external/near.intention_to_screen.referable_sensitivity"] == 0.9
    assert not [name for name in shown_metrics if name.startswith("external/far")]
    assert "external/near.json" in shown(repository.root)["pipeline"]["artifacts"]


def test_a_changed_parameter_begins_another_pipeline_run(repository: Repository) -> None:
    with tracked("split"):
        repository.split()
    params = repository.root / "params.yaml"
    params.write_text(params.read_text().replace("test_share: 0.16", "test_share: 0.2"))
    with tracked("split"):
        repository.split()
    store = Store(repository.root)
    assert len(store.client.search_runs([store.experiment_id], "tags.`dr.item` = 'pipeline'")) == 2


def test_rebuild_shows_what_the_stages_showed(repository: Repository, tmp_path: Path, empty_store: bytes) -> None:
    whole_pipeline(repository)
    clone = tmp_path / "clone"
    shutil.copytree(repository.root, clone, ignore=shutil.ignore_patterns("mlflow.db*", "mlruns", "clone"))
    (clone / "mlflow.db").write_bytes(empty_store)
    rebuild(Store(clone), Layout.at(clone), lambda item: {})
    assert shown(clone) == shown(repository.root)


def test_rebuild_twice_changes_nothing(repository: Repository) -> None:
    whole_pipeline(repository)
    live = shown(repository.root)
    names = rebuild(Store(repository.root), Layout.at(repository.root), lambda item: {})
    assert names == ["lite0-0", "pipeline"]
    assert shown(repository.root) == live


def test_rebuild_adds_the_pictures(repository: Repository) -> None:
    repository.train()
    rebuild(Store(repository.root), Layout.at(repository.root), lambda item: {"curves.png": item.name.encode()})
    assert "pictures/curves.png" in shown(repository.root)["lite0-0"]["artifacts"]


def test_a_restored_training_is_shown_by_the_first_stage_that_runs(repository: Repository) -> None:
    """DVC's run cache restores files without running a stage, so MLflow may never have seen the training."""
    repository.train()
    repository.export()
    with tracked("validate", candidate="lite0"):
        repository.validate()
    metrics = runs(repository.root)["lite0-0"].data.metrics
    assert {"epoch/train_loss", "export/parity.n", "validation/qwk"} <= set(metrics)


def test_stale_files_of_later_stages_are_not_shown(repository: Repository) -> None:
    repository.test()
    repository.latency()
    with tracked("split"):
        repository.split()
    repository.train()
    repository.export()
    with tracked("validate", candidate="lite0"):
        repository.validate()
    found = runs(repository.root)
    assert "test/qwk" not in found["pipeline"].data.metrics
    assert "latency/p95_ms" not in found["lite0-0"].data.metrics


def test_an_interrupted_training_goes_on_in_its_run(repository: Repository) -> None:
    def interrupted() -> None:
        with tracked("train", candidate="lite0", fold=0) as run:
            run.metrics({"train_loss": 1.6}, step=0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert runs(repository.root)["lite0-0"].info.status == "KILLED"
    with tracked("train", candidate="lite0", fold=0):
        repository.train()
    assert runs(repository.root)["lite0-0"].info.status == "FINISHED"


def test_a_second_training_is_a_second_run(repository: Repository) -> None:
    for epochs in (3, 4):
        with tracked("train", candidate="lite0", fold=0):
            repository.train(epochs=epochs)
    store = Store(repository.root)
    assert len(store.client.search_runs([store.experiment_id], "tags.`dr.item` = 'lite0-0'")) == 2
    with tracked("validate", candidate="lite0"):
        repository.validate()
    newest = store.client.search_runs([store.experiment_id], "metrics.`validation/qwk` > 0")
    assert [run.data.metrics["training/epochs"] for run in newest] == [4]


def test_a_failed_stage_is_marked_and_its_error_passes(repository: Repository) -> None:
    with pytest.raises(ValueError, match="mine"), tracked("split"):
        raise ValueError("mine")
    run = runs(repository.root)["pipeline"]
    assert (run.info.status, run.data.tags["dr.failed"]) == ("FAILED", "split")


def test_a_broken_store_warns_once_and_stops_nothing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (repository.root / "file").write_text("in the way")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository.root / 'file' / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "1")
    with caplog.at_level(logging.WARNING), tracked("train", candidate="lite0", fold=0) as run:
        run.metrics({"train_loss": 1.0}, step=0)
        run.metrics({"train_loss": 0.9}, step=1)
        repository.train()
    warnings = [record for record in caplog.records if record.name.startswith("dr_pipeline")]
    assert len(warnings) == 1
    assert "track rebuild" in warnings[0].getMessage()


def test_switched_off_it_imports_and_writes_nothing(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from dr_pipeline.tracking.run import tracked\n"
        "with tracked('split') as run: run.metrics({'photographs': 1.0})\n"
        "sys.exit('mlflow' in sys.modules)"
    )
    environment = {"DR_PIPELINE_TRACKING": "off", "DVC_STAGE": "split", "PATH": ""}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_recorded_only_where_dvc_runs_the_stage(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    from dr_pipeline.tracking.guard import switched_on

    monkeypatch.delenv("DR_PIPELINE_TRACKING")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert not switched_on()
    monkeypatch.setenv("DVC_STAGE", "split")
    assert switched_on()


def test_the_store_lies_where_plain_mlflow_ui_looks(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = repository.root / "reports" / "deep"
    inner.mkdir(parents=True)
    assert files_root(inner) == repository.root
    assert tracking_uri(repository.root) == f"sqlite:///{repository.root / 'mlflow.db'}"
    temporary = repository.root / ".dvc" / "tmp" / "exps" / "tmpabc"
    assert store_root(temporary) == repository.root, "`dvc exp run --temp` deletes its workspace"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert tracking_uri(repository.root) == "http://mlflow.example:5000"


def test_trainings_of_a_former_params_file_are_left_alone(repository: Repository) -> None:
    for name in ("lite0-0", "lite0-7", "former-0"):
        repository.train(name)
    assert Layout.at(repository.root).items() == [Item("lite0", 0)]
