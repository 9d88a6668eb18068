"""A candidate's training from Python, and from which checkpoint it resumes."""

from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.cli import main
from dr_pipeline.tables.history import read_history
from dr_pipeline.training import run_identity
from dr_pipeline.training.train_candidate import EpochReport, read_candidate_run, train_candidate
from tests.stages.test_train import interrupt, words, workplace, write_params  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.fixture
def interrupted(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A training with its first epoch of two finished."""
    interrupt(monkeypatch)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("changed", "value"),
    [("code_version", lambda *_: "edited"), ("version", lambda _: "0"), ("_content_sha256", lambda _: "other file")],
)
def test_edited_code_new_libraries_and_other_files_restart_from_scratch(
    changed: str, value: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_identity, changed, value)
    assert main(words("--take-best")) == 2
    assert "restarting from scratch" in capsys.readouterr().err


@pytest.mark.usefixtures("interrupted")
def test_the_same_inputs_resume() -> None:
    assert main(words("--take-best")) == 0
    assert len(read_history(Path("history.csv"))) == 1


def test_a_candidate_is_trained_from_python(workplace: Path) -> None:  # noqa: F811
    write_params(workplace, seeds=2)
    run = read_candidate_run(
        Path("params.yaml"), "lite0", 0, canvases=Path("canvases"), splits=Path("splits.csv"),
        readings=Path("readings.csv"),
    )  # fmt: skip
    reports: list[EpochReport] = []
    trained = train_candidate(run, scratch=Path("scratch"), on_epoch=reports.append)
    trained.write(Path("out"), history=Path("history.csv"), layers=Path("layers.csv"), report=Path("report.json"))
    assert [(report.network, report.row.epoch) for report in reports] == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert [report.row for report in reports] == read_history(Path("history.csv"))
    assert reports[0].metrics().keys() == {
        "seconds", "train_loss", "validation_loss", "validation_qwk", "validation_qwk_error", "learning_rate",
        "images_per_s",
    }  # fmt: skip
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "member-0.safetensors", "member-1.safetensors", "model.json",
    ]  # fmt: skip
    assert run.tracked_params()["training.seed"] == run.seeds[0]
    assert all(checkpoint.path.exists() for checkpoint in trained.checkpoints)
