"""Checkpoint of an unfinished training: intact or absent, restricted to tensors, the best epoch saved apart."""

import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError
from dr_pipeline.logs import show_messages
from dr_pipeline.training.checkpoint import BestWeights, Checkpoint, save_best_when_stopped
from tests.factories.training import CANDIDATE

STATE = {
    "history": [{"epoch": 0, "validation_qwk": 0.5}, {"epoch": 1, "validation_qwk": 0.25}],
    "best": 0,
    "best_weights": {"layer": torch.ones(3)},
}


def test_a_checkpoint_of_other_parameters_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_messages()
    Checkpoint(tmp_path, "one").save({"history": [], "best": 1})
    assert Checkpoint(tmp_path, "one").load() == {"key": "one", "history": [], "best": 1}
    assert Checkpoint(tmp_path, "other").load() is None
    assert "restarting from scratch" in capsys.readouterr().err


def test_the_best_epochs_weights_are_written_beside_it(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    assert checkpoint.save_best() is None
    checkpoint.save(STATE)
    best = checkpoint.save_best()
    assert best is not None
    assert (best.epoch, best.qwk, best.num_epochs) == (0, 0.5, 2)
    assert torch.equal(load_file(best.path)["layer"], torch.ones(3))
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_best_weights_of_other_parameters_stay(tmp_path: Path) -> None:
    former, later = Checkpoint(tmp_path, "former"), Checkpoint(tmp_path, "later")
    former.save(STATE)
    best = former.save_best()
    later.save(STATE | {"best_weights": {"layer": torch.zeros(3)}})
    later.save_best()
    later.remove()
    assert best is not None
    assert list(tmp_path.iterdir()) == [best.path]
    assert torch.equal(load_file(best.path)["layer"], torch.ones(3))


def test_the_history_is_loaded(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "key").save(STATE)
    other = Checkpoint(tmp_path, "key")
    assert other.history == []
    other.load()
    assert other.history == STATE["history"]


def test_a_full_disk_leaves_the_previous_checkpoint_intact(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.save(STATE)
    before = checkpoint.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # the kernel stops the write in the middle
    try:
        with pytest.raises(EnvironmentProblem, match="is intact") as raised:
            checkpoint.save({**STATE, "weights": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "free 8 MB" in raised.value.todo
    assert checkpoint.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_damaged_checkpoint_and_one_with_code_in_it_are_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.path.write_bytes(b"")
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint.load()
    torch.save({"key": "key", "payload": Path}, checkpoint.path)
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint.load()


@pytest.mark.parametrize("first", [True, False])
def test_one_of_several_processes_saves_the_best_and_all_wait_for_it(tmp_path: Path, first: bool) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.save(STATE)
    written: list[list[str]] = []

    def broadcast(_own: BestWeights | None) -> BestWeights:
        written.append([path.name for path in tmp_path.glob("best*")])
        return BestWeights(Path("of the first"), 0, 0.5, 1)

    fabric: Any = SimpleNamespace(is_global_zero=first, broadcast=broadcast)
    with pytest.raises(GateError) as raised, save_best_when_stopped(fabric, checkpoint, CANDIDATE, ""):
        raise GateError("the loss is nan")
    assert written == [["best-key.safetensors"] if first else []]
    assert "of the first holds the best of 1 finished epochs: epoch 1, validation QWK 0.500" in raised.value.where
