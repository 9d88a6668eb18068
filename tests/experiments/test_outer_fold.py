"""An outer fold is predicted with as many photographs at once as validation, and with advice when they do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.experiments import outer_fold
from dr_pipeline.experiments.nested_folds import nested_folds
from dr_pipeline.experiments.outer_fold import network_checkpoints
from dr_pipeline.experiments.shifted_canvases import FAMILIES, ShiftedCanvases
from tests.factories.experiments import made_experiment, made_groups, settings_of, write_photographs

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


def test_arms_that_differ_in_what_they_combine_share_their_trainings(tmp_path: Path) -> None:
    write_photographs(tmp_path, num_patients=4)
    store, context = CanvasStore(tmp_path / "canvases"), outer_fold.RunContext({}, tmp_path / "scratch")
    nested = nested_folds(made_groups(), 3, "salt")[0]
    arms = {
        "one": {},
        "ensemble": {"candidate.ensemble.seeds": 3},
        "views": {"candidate.ensemble.views": ["identity", "mirror"]},
        "other": {"candidate.learning_rate": 0.5},
    }
    paths = {
        settings.name: [checkpoint.path for checkpoint in network_checkpoints(settings, nested, store, context)]
        for settings in settings_of(made_experiment(arms))
    }
    assert len(set(paths["ensemble"])) == 3
    assert paths["one"] == paths["views"] == paths["ensemble"][:1]
    assert not set(paths["other"]) & set(paths["ensemble"])


def test_the_outer_fold_is_predicted_through_every_camera(tmp_path: Path) -> None:
    canvas = np.random.default_rng(0).integers(40, 200, (64, 64, 3), dtype=np.uint8)
    write_photographs(tmp_path, num_patients=2, canvases={"000-left": canvas})
    store = CanvasStore(tmp_path / "canvases")
    assert [name for name in FAMILIES if (ShiftedCanvases(store, name, 1.0).read("000-left") == canvas).all()] == []
    mixed = ShiftedCanvases(store, "mixed", 1.0)
    assert np.array_equal(mixed.read("000-left"), mixed.read("000-left"))
