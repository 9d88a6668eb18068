"""What is said and kept around the loop: by one of several processes, and where the memory is full outside of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dr_pipeline.errors import EnvironmentProblem, GateError
from dr_pipeline.training.checkpoint import Checkpoint, Kept
from dr_pipeline.training.checks import kept_when_stopped, memory_advice
from dr_pipeline.training.trainer import train_member
from tests.factories.training import CANDIDATE, PARAMS, Small, Store, ignore, rows

STATE = {"history": [{"epoch": 0, "validation_qwk": 0.5}], "best": 0, "best_weights": {"layer": torch.ones(3)}}


@pytest.mark.parametrize("first", [True, False])
def test_one_of_several_processes_keeps_the_best_and_all_wait_for_it(tmp_path: Path, first: bool) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.save(STATE)
    written: list[list[str]] = []

    def broadcast(_own: Kept | None) -> Kept:
        written.append([path.name for path in tmp_path.glob("best*")])
        return Kept(Path("of the first"), 0, 0.5, 1)

    fabric: Any = SimpleNamespace(is_global_zero=first, broadcast=broadcast)
    with pytest.raises(GateError) as raised, kept_when_stopped(fabric, checkpoint, CANDIDATE, ""):
        raise GateError("the loss is nan")
    assert written == [["best-key.safetensors"] if first else []]
    assert "of the first keeps the best of 1 finished epochs: epoch 1, validation QWK 0.500" in raised.value.where


def full(*_given: object, **_named: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


class Heavy(Small):
    """Too large for the device."""

    def to(self, *_given: object, **_named: object) -> Small:  # type: ignore[override]
        raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("at", ["layer_statistics", "adapt_batch_norm", "create_grader", "GradedCanvases", "fit"])
def test_full_memory_before_between_and_after_the_steps_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr("dr_pipeline.training.trainer.create_grader", lambda *_args, **_named: Small())
    moved = (lambda *_args, **_named: Heavy()) if at == "create_grader" else full
    monkeypatch.setattr(f"dr_pipeline.training.trainer.{at}", moved)
    with pytest.raises(EnvironmentProblem, match=r"out of memory with resnet10t at 32 px; .* GiB") as raised:
        train_member(
            CANDIDATE.model_copy(update={"epochs": 1}), PARAMS.model_copy(update={"adaptive_batch_norm": "training"}),
            store=Store(), training=rows(range(20)), validation=rows(range(100, 110)), readings={}, seed=1,
            checkpoint=Checkpoint(tmp_path, "key"), on_epoch=ignore, layers=True,
        )  # fmt: skip
    assert "batch_photographs from 8 to 4" in raised.value.todo
    assert "gradient_checkpointing" not in raised.value.todo  # there are no gradients


def test_of_two_blocks_the_inner_one_speaks() -> None:
    device = torch.device("cpu")
    with (
        pytest.raises(EnvironmentProblem) as raised,
        memory_advice(device, CANDIDATE),
        memory_advice(device, CANDIDATE, 8),
    ):
        full()
    assert raised.value.what.startswith("out of memory with 8 photographs of 32 px at once (resnet10t); ")
    assert raised.value.what.count("out of memory") == 1


def test_a_full_machine_is_not_taken_for_a_full_gpu() -> None:
    with (
        pytest.raises(EnvironmentProblem, match="this machine has") as raised,
        memory_advice(torch.device("cuda"), CANDIDATE),
    ):
        raise MemoryError
    assert raised.value.where == "cpu"
