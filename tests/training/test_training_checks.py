"""Advice when the memory is full, before, between and after the training steps."""

from pathlib import Path

import pytest
import torch

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.training.training_checks import memory_advice
from tests.factories.training import CANDIDATE, PARAMS, Small, rows, train_one


def full(*_given: object, **_named: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


class Heavy(Small):
    """Too large for the device."""

    def to(self, *_given: object, **_named: object) -> Small:  # type: ignore[override]
        raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("at", ["layer_statistics", "adapt_batch_norm", "create_grader", "GradedCanvases", "fit"])
def test_out_of_memory_before_between_and_after_the_steps_gives_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr("dr_pipeline.training.trainer.create_grader", lambda *_args, **_named: Small())
    moved = (lambda *_args, **_named: Heavy()) if at == "create_grader" else full
    monkeypatch.setattr(f"dr_pipeline.training.trainer.{at}", moved)
    with pytest.raises(EnvironmentProblem, match=r"out of memory with resnet10t at 32 px; .* GiB") as raised:
        train_one(
            tmp_path, CANDIDATE.model_copy(update={"epochs": 1}),
            PARAMS.model_copy(update={"adaptive_batch_norm": "training"}), train_set=rows(range(20)),
            val_set=rows(range(100, 110)), collect_layer_stats=True,
        )  # fmt: skip
    assert "batch_photographs from 8 to 4" in raised.value.todo
    assert "gradient_checkpointing" not in raised.value.todo  # there are no gradients


def test_of_nested_blocks_the_inner_one_reports() -> None:
    device = torch.device("cpu")
    with (
        pytest.raises(EnvironmentProblem) as raised,
        memory_advice(device, CANDIDATE),
        memory_advice(device, CANDIDATE, 8),
    ):
        full()
    assert raised.value.what.startswith("out of memory with 8 photographs of 32 px at once (resnet10t); ")
    assert raised.value.what.count("out of memory") == 1


def test_out_of_host_memory_is_not_reported_as_out_of_gpu_memory() -> None:
    with (
        pytest.raises(EnvironmentProblem, match="this process may use") as raised,
        memory_advice(torch.device("cuda"), CANDIDATE),
    ):
        raise MemoryError
    assert raised.value.where == "cpu"
