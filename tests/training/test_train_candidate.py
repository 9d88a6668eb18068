"""A candidate's training resumes only with the same code, libraries and files."""

from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.cli import main
from dr_pipeline.files import read_csv
from dr_pipeline.training import run_identity
from tests.stages.test_train import interrupt, words, workplace  # noqa: F401


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
    assert len(read_csv(Path("history.csv"))) == 1
