"""Predictions, and loader processes of the validation photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dr_pipeline.models.grader import create_grader
from dr_pipeline.training import loop
from dr_pipeline.training.data.canvas_dataset import BatchLoader, GradedCanvases
from dr_pipeline.training.data.sampler import EpochBatchSampler
from dr_pipeline.training.predict import predict
from tests.factories.training import CANDIDATE, Store, photographs, train


def test_predictions_equal_the_graders_in_the_given_order() -> None:
    grader = create_grader("mobilenetv3_small_050", input_px=32, drop_rate=0.5, drop_path_rate=0.0).train()
    logits = predict(grader, Store(), ["7", "2", "4"], 32, batch=2)
    grader.eval()
    images = torch.from_numpy(np.stack([Store().read(name) for name in ("7", "2", "4")]))
    with torch.inference_mode():
        assert np.allclose(logits, grader(images).numpy(), atol=1e-5)
    assert logits.dtype == np.float32


SHORT = CANDIDATE.model_copy(update={"epochs": 1})


@pytest.mark.parametrize(("in_memory", "workers"), [(True, [9, 2]), (False, [9, 9])])
def test_validation_has_few_workers_where_its_photographs_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool, workers: list[int]
) -> None:
    num_workers_used: list[int] = []

    class Noting(BatchLoader):
        def __init__(self, data: GradedCanvases, order: EpochBatchSampler, num_workers: int) -> None:
            num_workers_used.append(num_workers)
            super().__init__(data, order, 0)

    monkeypatch.setattr(loop, "BatchLoader", Noting)
    monkeypatch.setattr(loop, "num_loader_workers", lambda _fabric: 9)
    if not in_memory:
        monkeypatch.setattr("dr_pipeline.training.data.canvas_dataset.MEMORY_BYTES", 0)
    val_set = photographs(range(100, 120), augmented=False)
    assert val_set.in_memory == in_memory
    train(tmp_path, candidate=SHORT, val_set=val_set)
    assert num_workers_used == workers
