"""A training that is killed or interrupted: what is saved, what is reported, and how it resumes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.logs import show_messages
from dr_pipeline.training import loop
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.loop import FitResult
from dr_pipeline.training.trainer import TrainedNetwork
from tests.factories import REPOSITORY
from tests.factories.training import Small, same, train, train_one

pytestmark = pytest.mark.slow

# Training that kills itself in the third step of its third epoch: 41 photographs make 6 batches, with 1 joined 5.
KILLED = """
import os, signal, sys
from pathlib import Path
from dr_pipeline.logs import show_messages
from dr_pipeline.training import loop
from tests.factories.training import train

steps = iter(range(1000))
finite = loop.require_finite

def kill(*arguments):
    finite(*arguments)
    if arguments[1] == "loss" and next(steps) == 2 * 5 + 2:
        os.kill(os.getpid(), signal.SIGKILL)

loop.require_finite = kill
train(Path(sys.argv[1]))
"""


def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(broken)], cwd=REPOSITORY, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = Checkpoint(broken, "key").load()
    assert state is not None
    assert len(state["history"]) == 2
    whole, resumed = train(tmp_path / "whole"), train(broken)
    assert same(whole.weights, resumed.weights)
    assert [row.train_loss for row in whole.history] == [row.train_loss for row in resumed.history]


def network(folder: Path, *, stop_hint: str = "run it with --take-best", **changes: Any) -> TrainedNetwork:
    return train_one(folder, stop_hint=stop_hint, **changes)


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Enables Ctrl-C, which background processes of a shell ignore, and shows messages."""
    show_messages()
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def interrupt_in(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal of Ctrl-C, in the second step of an epoch."""
    finite = loop.require_finite

    def press(loss: float, name: str, at: int, step: int, optimizer: object, checkpoint: Checkpoint) -> None:
        finite(loss, name, at, step, optimizer, checkpoint)
        if (name, at, step) == ("loss", epoch, 2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("dr_pipeline.training.loop.require_finite", press)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dr_pipeline.training.trainer.create_grader", lambda *_args, **_named: Small())


@pytest.mark.usefixtures("small")
def test_ctrl_c_saves_the_best_and_reports_how_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as pressed:
        interrupt_in(2, pressed)
        with pytest.raises(KeyboardInterrupt):
            network(tmp_path)
    messages = capsys.readouterr().err
    assert "interrupted after epoch 2 of 4; the best is epoch" in messages
    assert "validation QWK" in messages
    assert "to stop here: run it with --take-best" in messages
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-key.safetensors", "last.pt"]
    resumed_best = network(tmp_path, take_best=True)
    state = Checkpoint(tmp_path, "key").load()
    assert state is not None
    assert len(resumed_best.fit.history) == 2
    assert same(resumed_best.grader.state_dict(), state["best_weights"])
    resumed: FitResult = network(tmp_path).fit
    assert len(resumed.history) == 4


@pytest.mark.usefixtures("small")
def test_ctrl_c_in_an_experiment_gives_no_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_in(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        network(tmp_path, stop_hint="")
    messages = capsys.readouterr().err
    assert "run the same command again" in messages
    assert "stop" not in messages


@pytest.mark.usefixtures("small")
def test_ctrl_c_in_the_first_epoch_saves_nothing_and_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as pressed:
        interrupt_in(0, pressed)
        with pytest.raises(KeyboardInterrupt):
            network(tmp_path)
    assert "nothing is saved" in capsys.readouterr().err
    with pytest.raises(DataError, match="no epoch has finished"):
        network(tmp_path, take_best=True)


def diverge_in(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is no number, in the second step of an epoch."""
    finite = loop.require_finite

    def spoil(loss: float, name: str, at: int, step: int, optimizer: object, checkpoint: Checkpoint) -> None:
        bad = (name, at, step) == ("loss", epoch, 2)
        finite(float("nan") if bad else loss, name, at, step, optimizer, checkpoint)

    monkeypatch.setattr("dr_pipeline.training.loop.require_finite", spoil)


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_not_finite_saves_the_best_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as spoilt:
        diverge_in(2, spoilt)
        with pytest.raises(GateError, match="the loss is nan at epoch 3, step 2") as raised:
            network(tmp_path)
    saved = tmp_path / "best-key.safetensors"
    assert str(saved) in raised.value.where
    assert "the best of 2 finished epochs: epoch" in raised.value.where
    assert "learning_rate" in raised.value.todo
    assert raised.value.todo.endswith("to finish with the epochs so far, run it with --take-best")
    weights = load_file(saved)
    assert same(weights, network(tmp_path, take_best=True).grader.state_dict())
    network(tmp_path, key="lower rate")  # from the first epoch on, the checkpoint is this one's
    Checkpoint(tmp_path, "lower rate").remove()
    assert list(tmp_path.iterdir()) == [saved]
    assert same(weights, load_file(saved))


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_not_finite_in_an_experiment_gives_no_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge_in(1, monkeypatch)
    with pytest.raises(GateError) as raised:
        network(tmp_path, stop_hint="")
    assert raised.value.todo.endswith("that file stays")


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_not_finite_in_the_first_epoch_saves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge_in(0, monkeypatch)
    with pytest.raises(GateError) as raised:
        network(tmp_path)
    assert raised.value.where == "no epoch has finished"
    assert "--take-best" not in raised.value.todo
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small")
def test_a_network_does_not_depend_on_earlier_draws(tmp_path: Path) -> None:
    one = network(tmp_path / "one")
    torch.rand(3)
    assert same(one.fit.weights, network(tmp_path / "other").fit.weights)
