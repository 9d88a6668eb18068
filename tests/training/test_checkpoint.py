"""Unfinished training on disk: whole or not at all, and only what is meant."""

import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.training.checkpoint import Checkpoint

STATE = {
    "history": [{"epoch": 0, "validation_qwk": 0.5}, {"epoch": 1, "validation_qwk": 0.25}],
    "best": 0,
    "best_weights": {"layer": torch.ones(3)},
}


def test_a_checkpoint_of_other_parameters_is_left_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Checkpoint(tmp_path, "one").save({"history": [], "best": 1})
    assert Checkpoint(tmp_path, "one").load() == {"key": "one", "history": [], "best": 1}
    assert Checkpoint(tmp_path, "other").load() is None
    assert "starts anew" in capsys.readouterr().err


def test_the_best_epochs_weights_are_written_beside_it(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    assert checkpoint.keep_best() is None
    checkpoint.save(STATE)
    kept = checkpoint.keep_best()
    assert kept is not None
    assert (kept.epoch, kept.qwk, kept.num_epochs) == (0, 0.5, 2)
    assert torch.equal(load_file(kept.path)["layer"], torch.ones(3))
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_best_of_other_parameters_stays(tmp_path: Path) -> None:
    """Who lowers the learning rate of a training that failed may want its best when the other has ended."""
    former, later = Checkpoint(tmp_path, "former"), Checkpoint(tmp_path, "later")
    former.save(STATE)
    kept = former.keep_best()
    later.save(STATE | {"best_weights": {"layer": torch.zeros(3)}})
    later.keep_best()
    later.remove()
    assert kept is not None
    assert list(tmp_path.iterdir()) == [kept.path]
    assert torch.equal(load_file(kept.path)["layer"], torch.ones(3))


def test_it_knows_the_finished_epochs(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "key").save(STATE)
    other = Checkpoint(tmp_path, "key")
    assert other.history == []
    other.load()
    assert other.history == STATE["history"]


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.save(STATE)
    before = checkpoint.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # the kernel stops the write in the middle
    try:
        with pytest.raises(EnvironmentProblem, match="is whole") as raised:
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
