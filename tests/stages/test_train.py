"""The stage train on canvases made here: its outputs for one network and for two, complete and stopped early."""

import argparse
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from dr_pipeline.cli import main
from dr_pipeline.files import add_to_tar, read_json, sha256_file, write_json
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.weights.trained_weights import load_strict
from dr_pipeline.stages import train
from dr_pipeline.tables.canvas_index import CANVAS_INDEX
from dr_pipeline.tables.history import EpochRow, read_history, read_layers
from dr_pipeline.tables.splits import SPLITS
from dr_pipeline.training import loop, trainer
from tests.factories import REPOSITORY
from tests.factories import bundles as bundle_factory
from tests.factories.csv_files import write_csv
from tests.factories.training import Small, Store

pytestmark = pytest.mark.slow

NUM_PHOTOGRAPHS = 40


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Canvases, a split and parameters of a small training; no tracking."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DR_PIPELINE_TRACKING", "off")
    monkeypatch.setattr("dr_pipeline.training.trainer.create_grader", lambda *_args, **_named: Small())
    index, splits, content = [], [], io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for number in range(NUM_PHOTOGRAPHS):
            add_to_tar(tar, f"{number}.png", bundle_factory.encode(Store().read(str(number)), ".png"))
            row = dict.fromkeys(CANVAS_INDEX.columns, "") | {
                "schema_version": CANVAS_INDEX.version,
                "image_id": str(number),
            }
            index.append(row | {"shard": "shard-00000.tar", "status": "scored"})
            row = dict.fromkeys(SPLITS.columns, "") | {"schema_version": "2", "image_id": str(number)}
            splits.append(
                row | {"group": str(number), "grade": number % 5, "split": "development", "fold": number // 5 % 2}
            )
    (tmp_path / "canvases").mkdir()
    (tmp_path / "canvases" / "shard-00000.tar").write_bytes(content.getvalue())
    write_csv(tmp_path / "canvases" / "index.csv", CANVAS_INDEX.columns, index)
    described = {"fingerprint": bundle_factory.PIXEL_PATH.fingerprint}
    write_json(tmp_path / "canvases" / "pixel_path.json", bundle_factory.PIXEL_PATH.to_dict() | described)
    write_csv(tmp_path / "splits.csv", SPLITS.columns, splits)
    (tmp_path / "readings.csv").write_text("schema_version,image_id,grader,grade\n")
    write_params(tmp_path, seeds=1)
    return tmp_path


def write_params(folder: Path, *, seeds: int, teacher: str = "none") -> None:
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    document["candidates"]["lite0"] |= {"weights": "none", "input_px": 32, "epochs": 2, "batch_photographs": 8}
    document["candidates"]["lite0"]["ensemble"]["seeds"] = seeds
    document["training"]["distillation"]["teacher"] = teacher
    (folder / "params.yaml").write_text(yaml.safe_dump(document))


def words(*more: str) -> list[str]:
    return [
        "train", "--candidate", "lite0", "--fold", "0", "--params", "params.yaml", "--canvases", "canvases",
        "--splits", "splits.csv", "--readings", "readings.csv", "--out", "out", "--history", "history.csv",
        "--layers", "layers.csv", "--report", "report.json", "--scratch", "scratch", *more,
    ]  # fmt: skip


def test_it_writes_weights_facts_history_layers_and_figures(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words()) == 0
    facts = read_json(Path("out/model.json"))
    assert facts["members"] == ["member-0.safetensors"]
    assert facts["seeds"] == [20]
    assert facts["loss"] == "soft_ordinal"
    assert facts["network"] == {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"}
    assert "ensemble" not in facts  # how members are combined may change without training
    assert (facts["candidate"], facts["fold"], facts["input_px"]) == ("lite0", 0, 32)
    assert load_file("out/member-0.safetensors").keys() == Small().state_dict().keys()
    assert [row.epoch for row in read_history(Path("history.csv"))] == [0, 1]
    assert {row.when for row in read_layers(Path("layers.csv"))} == {"before", "after"}
    figures = read_json(Path("report.json"))["training"]["lite0-0"]
    assert not figures["stopped_early"]
    assert figures["epochs"] == 2
    assert f"validation QWK {figures['validation_qwk']:.3f}" in capsys.readouterr().out
    assert not list(workplace.glob("scratch/**/last.pt"))
    assert list(workplace.glob("scratch/**/progress.png"))


def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training with its first epoch of two finished."""
    finite = loop.require_finite

    def press(*arguments: object) -> None:
        if arguments[1:4] == ("loss", 1, 1):
            raise KeyboardInterrupt
        finite(*arguments)

    with monkeypatch.context() as pressed:
        pressed.setattr("dr_pipeline.training.loop.require_finite", press)
        assert main(words()) == 130


def test_ctrl_c_then_take_best(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(workplace, seeds=2)
    interrupt(monkeypatch)
    assert "interrupted after epoch 1 of 2" in capsys.readouterr().err
    assert not Path("out").exists()
    assert main(words("--take-best")) == 2  # the second network has not started
    assert "lower the candidate's ensemble.seeds" in capsys.readouterr().err
    write_params(workplace, seeds=1)
    assert main(words("--take-best")) == 0
    assert read_json(Path("report.json"))["training"]["lite0-0"]["stopped_early"]
    assert len(read_history(Path("history.csv"))) == 1


def test_a_student_of_all_seeds_is_kept_alone(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(workplace, seeds=2)
    assert main(words()) == 0
    members = [load_file(f"out/member-{number}.safetensors") for number in (0, 1)]
    taught = []
    real = trainer.GradedCanvases

    def note(*arguments: Any, **named: Any) -> Any:
        taught.append(named.get("teacher"))
        return real(*arguments, **named)

    monkeypatch.setattr(trainer, "GradedCanvases", note)
    write_params(workplace, seeds=2, teacher="seeds")
    assert main(words()) == 0
    facts = read_json(Path("out/model.json"))
    assert (facts["members"], facts["seeds"], facts["teacher_seeds"]) == (["member-0.safetensors"], [20], [20, 21])
    teachers = [one for one in taught if one is not None]
    assert len(teachers) == 1  # the networks that teach have no teacher
    assert teachers[0].exp().sum(dim=1).numpy() == pytest.approx(1, abs=1e-4)
    student = load_file("out/member-0.safetensors")
    for member in members:
        assert any(not (student[name] == member[name]).all() for name in student)
    assert {row.when for row in read_layers(Path("layers.csv"))} == {"before", "after"}
    assert not list(workplace.glob("scratch/**/last.pt"))


def test_one_network_teaches_no_other(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(workplace, seeds=1, teacher="seeds")
    assert main(words()) == 2
    assert "set ensemble.seeds to 2 or more" in capsys.readouterr().err


def test_networks_differ_by_their_seeds_and_follow_one_another(workplace: Path) -> None:
    write_params(workplace, seeds=2)
    assert main(words()) == 0
    one, other = (load_file(f"out/member-{number}.safetensors") for number in (0, 1))
    assert any(not (one[name] == other[name]).all() for name in one)
    assert [row.epoch for row in read_history(Path("history.csv"))] == list(range(4))
    figures = read_json(Path("report.json"))["training"]["lite0-0"]
    assert [member["seed"] for member in figures["members"]] == [20, 21]
    assert figures["epochs"] == 4


def test_a_teacher_without_its_id_is_reported(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("teacher: none", "teacher: bundle:nowhere"))
    assert main(words()) == 2
    assert "bundle:nowhere is not pinned: `dvc repro` does not detect when it changes" in capsys.readouterr().err
    Path("params.yaml").write_text(text.replace("teacher: none", "teacher: bundle:nowhere#0123456789abcdef"))
    assert main(words()) == 2
    assert "pinned" not in capsys.readouterr().err


def test_another_process_writes_nothing(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    assert train.run(parser.parse_args(words()[1:])).wrote == ()
    assert not any(Path(name).exists() for name in ("out", "history.csv", "layers.csv", "report.json"))


@pytest.mark.parametrize("key", ["weights", "teacher"])
def test_a_bundle_trained_on_validation_photographs_is_refused(
    workplace: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = {
        "splits_sha256": sha256_file(Path("splits.csv")),
        "canvas_index_sha256": sha256_file(Path("canvases/index.csv")),
    }
    model = {"ensemble": {"members": [{"fold": 1, "seed": 20}]}}
    write_json(Path("release/metadata.json"), {"data_hashes": hashes, "model": model})
    document = yaml.safe_load(Path("params.yaml").read_text())
    place = document["candidates"]["lite0"] if key == "weights" else document["training"]["distillation"]
    place[key] = "bundle:release"
    Path("params.yaml").write_text(yaml.safe_dump(document))
    assert main(words()) == 2
    assert "photographs that validate fold 0" in capsys.readouterr().err


def test_the_progress_plot_shows_the_minutes_left_for_all_networks(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(workplace, seeds=2)
    epochs_left: list[float] = []

    def note(_path: Path, history: list[EpochRow], *, title: str, minutes_left: float) -> None:
        mean = sum(row.seconds for row in history) / len(history)
        epochs_left.append(round(60 * minutes_left / mean, 6))

    monkeypatch.setattr("dr_pipeline.reporting.progress_plot.draw_progress", note)
    assert main(words()) == 0
    assert epochs_left == [3, 2, 1, 0]


def test_two_processes_train_one_network_and_write_once(workplace: Path) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["candidates"]["lite0"]["model"] = "resnet10t"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    ended = subprocess.run(
        [sys.executable, "-m", "dr_pipeline", *words()], cwd=workplace, capture_output=True, text=True, timeout=200,
        env=os.environ | {"DR_PIPELINE_PROCESSES": "2", "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert sum("validation QWK" in line for line in lines) == 1
    assert lines.count("a further process: done") == 1
    assert "lite0-0: trained in 2 processes" in lines
    assert lines.count("wrote out") == 2  # the process that trained and wrote, and the one that started it
    (figures,) = read_json(Path("report.json"))["training"].values()
    assert figures["device"].startswith("2 × ")
    assert figures["epochs"] == 2
    assert len(figures["members"]) == 1
    history = read_history(Path("history.csv"))
    assert [row.epoch for row in history] == [0, 1]
    assert figures["validation_qwk"] == max(row.validation_qwk for row in history)
    assert sorted(path.name for path in Path("out").iterdir()) == ["member-0.safetensors", "model.json"]
    grader = create_grader("resnet10t", input_px=32, drop_rate=0.0, drop_path_rate=0.0)
    load_strict(grader, Path("out/member-0.safetensors"))
    assert all(value.isfinite().all() for value in grader.state_dict().values())
    assert [path.name for path in Path("scratch/lite0-0/member-0").iterdir()] == ["progress.png"]
