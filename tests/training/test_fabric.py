"""How many loader processes there are on a machine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dr_pipeline.training import loop
from dr_pipeline.training.data.dataset import Batches, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatches
from dr_pipeline.training.fabric import num_loader_workers
from tests.factories.training import CANDIDATE, photographs, train

SHORT = CANDIDATE.model_copy(update={"epochs": 1})


@pytest.mark.parametrize(
    ("device", "processes", "cores", "workers"),
    [("cuda", None, 12, 12), ("cuda", 1, 64, 16), ("cuda", 4, 16, 4), ("cuda", 8, 4, 1), ("cpu", 2, 16, 0)],
)
def test_the_processes_of_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, device: str, processes: int | None, cores: int, workers: int
) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr("dr_pipeline.training.fabric.usable_cores", lambda: cores)
    fabric: Any = SimpleNamespace(device=torch.device(device))
    assert num_loader_workers(fabric) == workers


@pytest.mark.parametrize(("in_memory", "workers"), [(True, [9, 2]), (False, [9, 9])])
def test_validation_has_few_where_its_photographs_lie_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool, workers: list[int]
) -> None:
    asked: list[int] = []

    class Noting(Batches):
        def __init__(self, data: GradedCanvases, order: EpochBatches, num_workers: int) -> None:
            asked.append(num_workers)
            super().__init__(data, order, 0)

    monkeypatch.setattr(loop, "Batches", Noting)
    if not in_memory:
        monkeypatch.setattr("dr_pipeline.training.data.dataset.MEMORY_BYTES", 0)
    validation = photographs(range(100, 120), augmented=False)
    assert validation.in_memory == in_memory
    train(tmp_path, candidate=SHORT, validation=validation, num_workers=9)
    assert asked == workers
