"""A training that is killed or interrupted: what is kept, what is said, and how it goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.training import loop
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.loop import Trained
from dr_pipeline.training.trainer import Member, train_member
from tests.factories import REPOSITORY
from tests.factories.training import CANDIDATE, PARAMS, Small, Store, ignore, rows, same, train

# Training that kills itself in the third step of its third epoch: 41 photographs make 6 batches, with 1 joined 5.
KILLED = """
import os, signal, sys
from pathlib import Path
from dr_pipeline.training import loop
from tests.factories.training import train

steps = iter(range(1000))
finite = loop.require_finite

def kill(*given):
    finite(*given)
    if given[1] == "loss" and next(steps) == 2 * 5 + 2:
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


def member(
    folder: Path, *, take_best: bool = False, to_stop: str = "run it with --take-best", key: str = "key"
) -> Member:
    return train_member(
        CANDIDATE, PARAMS, store=Store(), training=rows(range(41)), validation=rows(range(100, 120)), readings={},
        seed=1, checkpoint=Checkpoint(folder, key), on_epoch=ignore, layers=False, take_best=take_best,
        to_stop=to_stop,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C, also where the tests run in a shell's background, whose processes ignore it from their start."""
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
def test_ctrl_c_keeps_the_best_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as pressed:
        interrupt_in(2, pressed)
        with pytest.raises(KeyboardInterrupt):
            member(tmp_path)
    said = capsys.readouterr().err
    assert "interrupted after epoch 2 of 4; the best is epoch" in said
    assert "validation QWK" in said
    assert "to stop here: run it with --take-best" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-key.safetensors", "last.pt"]
    taken = member(tmp_path, take_best=True)
    state = Checkpoint(tmp_path, "key").load()
    assert state is not None
    assert len(taken.trained.history) == 2
    assert same(taken.grader.state_dict(), state["best_weights"])
    gone_on: Trained = member(tmp_path).trained
    assert len(gone_on.history) == 4


@pytest.mark.usefixtures("small")
def test_ctrl_c_says_nothing_of_stopping_where_there_is_no_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_in(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        member(tmp_path, to_stop="")
    said = capsys.readouterr().err
    assert "run the same command again" in said
    assert "stop" not in said


@pytest.mark.usefixtures("small")
def test_ctrl_c_in_the_first_epoch_keeps_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as pressed:
        interrupt_in(0, pressed)
        with pytest.raises(KeyboardInterrupt):
            member(tmp_path)
    assert "nothing is kept" in capsys.readouterr().err
    with pytest.raises(DataError, match="no epoch is finished"):
        member(tmp_path, take_best=True)


def diverge_in(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is no number, in the second step of an epoch."""
    finite = loop.require_finite

    def spoil(loss: float, name: str, at: int, step: int, optimizer: object, checkpoint: Checkpoint) -> None:
        bad = (name, at, step) == ("loss", epoch, 2)
        finite(float("nan") if bad else loss, name, at, step, optimizer, checkpoint)

    monkeypatch.setattr("dr_pipeline.training.loop.require_finite", spoil)


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_not_finite_keeps_the_best_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as spoilt:
        diverge_in(2, spoilt)
        with pytest.raises(GateError, match="the loss is nan at epoch 3, step 2") as raised:
            member(tmp_path)
    kept = tmp_path / "best-key.safetensors"
    assert str(kept) in raised.value.where
    assert "the best of 2 finished epochs: epoch" in raised.value.where
    assert "learning_rate" in raised.value.todo
    assert raised.value.todo.endswith("to end with the finished epochs, run it with --take-best")
    weights = load_file(kept)
    assert same(weights, member(tmp_path, take_best=True).grader.state_dict())
    member(tmp_path, key="lower rate")  # from the first epoch on, the checkpoint is this one's
    Checkpoint(tmp_path, "lower rate").remove()
    assert list(tmp_path.iterdir()) == [kept]
    assert same(weights, load_file(kept))


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_not_finite_says_nothing_of_stopping_where_there_is_no_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge_in(1, monkeypatch)
    with pytest.raises(GateError) as raised:
        member(tmp_path, to_stop="")
    assert raised.value.todo.endswith("that file stays")


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_not_finite_in_the_first_epoch_keeps_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge_in(0, monkeypatch)
    with pytest.raises(GateError) as raised:
        member(tmp_path)
    assert raised.value.where == "no epoch is finished"
    assert "--take-best" not in raised.value.todo
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small")
def test_a_member_is_the_same_whatever_was_drawn_before(tmp_path: Path) -> None:
    one = member(tmp_path / "one")
    torch.rand(3)
    assert same(one.trained.weights, member(tmp_path / "other").trained.weights)
