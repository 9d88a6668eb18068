"""An outer fold is predicted with as many photographs at once as validation, and with advice when they do not fit."""

from typing import Any

import numpy as np
import pytest
import torch

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.experiments import outer_fold
from tests.factories.experiments import made_experiment, settings_of

pytestmark = pytest.mark.slow


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    used: list[int] = []

    def predict(*_: Any, batch: int) -> np.ndarray:
        used.append(batch)
        return np.zeros((2, 5), np.float32)

    monkeypatch.setattr(outer_fold, "predict", predict)
    return used


def answer(asked: dict[str, Any]) -> np.ndarray:
    (settings,) = settings_of(made_experiment({"a": {}}), {"candidate.batch_photographs": 16} | asked)
    return outer_fold._predict_logits(settings, torch.nn.Identity(), None, ["a", "b"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "batch"),
    [
        ({}, 32),
        ({"candidate.batch_photographs": 32}, 64),  # the largest that is shipped: twice the training batch, as ever
        ({"candidate.batch_photographs": 256}, 64),
        ({"candidate.memory.accumulation": 4}, 8),
        ({"candidate.ensemble.views": ["identity", "mirror", "rotate_90"]}, 10),
        ({"candidate.memory.accumulation": 16, "candidate.ensemble.views": ["identity", "mirror", "rotate_90"]}, 1),
    ],
)
def test_accumulation_and_views_lower_the_batch(asked: dict[str, Any], batch: int, batches: list[int]) -> None:
    answer(asked)
    assert batches == [batch]


def test_a_full_memory_ends_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(outer_fold, "predict", full)
    with pytest.raises(EnvironmentProblem, match="out of memory with 32 photographs") as caught:
        answer({})
    assert "memory.accumulation" in caught.value.todo
