"""One network from a candidate to a finished grader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dr_pipeline.params.candidate import Candidate
from dr_pipeline.training.trainer import TrainedNetwork
from tests.factories.training import CANDIDATE, PARAMS, Small, Store, rows, section, train_one

pytestmark = pytest.mark.slow

SHORT = CANDIDATE.model_copy(update={"epochs": 2})


def network(folder: Path, candidate: Candidate = SHORT, **changes: Any) -> TrainedNetwork:
    return train_one(folder, candidate, **changes)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dr_pipeline.training.trainer.create_grader", lambda *_args, loss, **_named: Small(loss, drop_rate=0.0)
    )


def test_a_trained_network_is_a_finished_grader_with_its_history(tmp_path: Path) -> None:
    candidate = section(SHORT, "memory", gradient_checkpointing=True, accumulation=2)
    params = section(PARAMS, "objective", loss="coral")
    made = network(tmp_path, candidate=candidate, params=params, collect_layer_stats=True)
    assert not made.grader.training
    assert made.weights_source == "none (random initialisation)"
    assert made.num_parameters == sum(value.numel() for value in made.grader.parameters())
    assert {row.when for row in made.layers} == {"before", "after"}
    assert all(torch.equal(value, made.fit.weights[name]) for name, value in made.grader.state_dict().items())


@pytest.mark.usefixtures("small")
def test_readings_of_several_graders_change_the_training(tmp_path: Path) -> None:
    params = PARAMS.model_copy(update={"reader_agreement": 1.0})
    losses = []
    for other in (1, 2):
        readings = {str(n): [n % 5, (n + other) % 5] for n in range(41)}
        losses.append(network(tmp_path / str(other), params=params, readings=readings).fit.best.train_loss)
    assert losses[0] != losses[1]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("source", ["training", "validation"])
def test_batch_norm_is_adapted_to_the_configured_photographs(tmp_path: Path, source: str) -> None:
    plain = network(tmp_path / "plain")
    adapted = network(tmp_path / "adapted", params=PARAMS.model_copy(update={"adaptive_batch_norm": source}))
    moved = {name for name, value in plain.fit.weights.items() if not torch.equal(value, adapted.fit.weights[name])}
    assert moved == {"backbone.1.running_mean", "backbone.1.running_var", "backbone.1.num_batches_tracked"}
    ids = range(41) if source == "training" else range(100, 120)
    images = torch.from_numpy(np.stack([Store().read(str(n)) for n in ids])).permute(0, 3, 1, 2).float() / 128 - 1
    means = plain.grader.backbone[0](images).mean((0, 2, 3))
    assert torch.allclose(adapted.fit.weights["backbone.1.running_mean"], means, atol=1e-4)


@pytest.mark.usefixtures("small")
def test_one_validation_photograph_is_enough(tmp_path: Path) -> None:
    made = network(tmp_path, val_set=rows(range(100, 101)), collect_layer_stats=True)
    assert made.layers
    assert made.fit.best.validation_qwk == 0.0  # not defined for one photograph
