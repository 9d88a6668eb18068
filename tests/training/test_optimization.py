"""Learning-rate schedule, weight averaging, adaptive batch normalisation."""

import itertools

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from dr_pipeline.errors import DataError
from dr_pipeline.training.optimization import MovingAverage, adapt_batch_norm, warmup_cosine
from tests.factories.training import Small


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [warmup_cosine(step, num_steps=100, warmup_fraction=0.1) for step in range(100)]
    assert np.allclose(rates[:10], np.linspace(0.1, 1.0, 10))
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert 0 <= rates[-1] < 0.001


def test_the_average_loses_its_random_initialisation() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(model, multi_avg_fn=MovingAverage(0.999), use_buffers=True)
    torch.nn.init.constant_(model.weight, 1.0)
    torch.nn.init.constant_(average.module.weight, 100.0)
    for _ in range(100):
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1.0, abs=1e-3)


def test_adapted_statistics_weight_batches_by_their_photographs() -> None:
    grader = Small()
    images = torch.randint(0, 256, (10, 32, 32, 3), dtype=torch.uint8)
    assert adapt_batch_norm(grader.train(), [images[:8], images[8:]]) == 1
    assert grader.training
    assert grader.backbone[1].momentum == 0.1
    mean = grader.backbone[0](images.permute(0, 3, 1, 2).float() / 128 - 1).mean((0, 2, 3))
    assert torch.allclose(grader.backbone[1].running_mean, mean, atol=1e-5)
    assert adapt_batch_norm(torch.nn.Linear(3, 5), []) == 0


@pytest.mark.parametrize("numbers", [(), (1,), (4, 1)])
def test_adaptation_to_none_or_single_photographs_is_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="batch normalisation takes its statistics from 2 or more"):
        adapt_batch_norm(Small(), [torch.zeros(number, 32, 32, 3, dtype=torch.uint8) for number in numbers])
