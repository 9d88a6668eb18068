"""One member from a candidate to a finished grader, and predictions with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.models.grader import create_grader
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.training.batch_norm import adapt_batch_norm
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.batch import Part, parts_of, softened
from dr_pipeline.training.data.sampler import EpochBatches
from dr_pipeline.training.objectives import GradingLoss, TrainingTask
from dr_pipeline.training.predict import predict
from dr_pipeline.training.trainer import Member, train_member
from tests.factories.training import CANDIDATE, PARAMS, Small, Store, ignore, rows, section

SHORT = CANDIDATE.model_copy(update={"epochs": 2})


def member(folder: Path, *, candidate: Candidate = SHORT, params: Training = PARAMS, **changes: Any) -> Member:
    call: dict[str, Any] = {
        "store": Store(), "training": rows(range(41)), "validation": rows(range(100, 120)), "readings": {}, "seed": 1,
        "checkpoint": Checkpoint(folder, "key"), "on_epoch": ignore, "layers": False,
    }  # fmt: skip
    return train_member(candidate, params, **(call | changes))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dr_pipeline.training.trainer.create_grader", lambda *_args, loss, **_named: Small(loss, drop_rate=0.0)
    )


def test_a_member_is_a_finished_grader_with_its_story(tmp_path: Path) -> None:
    candidate = section(SHORT, "memory", gradient_checkpointing=True, accumulation=2)
    params = section(PARAMS, "objective", loss="coral")
    made = member(tmp_path, candidate=candidate, params=params, layers=True)
    assert not made.grader.training
    assert made.weights_source == "none (random initialisation)"
    assert made.num_parameters == sum(value.numel() for value in made.grader.parameters())
    assert {row.when for row in made.layers} == {"before", "after"}
    assert all(torch.equal(value, made.trained.weights[name]) for name, value in made.grader.state_dict().items())


@pytest.mark.usefixtures("small")
def test_readings_of_several_graders_change_what_is_learnt(tmp_path: Path) -> None:
    params = PARAMS.model_copy(update={"reader_agreement": 1.0})
    losses = []
    for other in (1, 2):
        readings = {str(n): [n % 5, (n + other) % 5] for n in range(41)}
        losses.append(member(tmp_path / str(other), params=params, readings=readings).trained.best.train_loss)
    assert losses[0] != losses[1]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("source", ["training", "validation"])
def test_statistics_are_taken_anew_where_it_is_asked_for(tmp_path: Path, source: str) -> None:
    plain = member(tmp_path / "plain")
    adapted = member(tmp_path / "adapted", params=PARAMS.model_copy(update={"adaptive_batch_norm": source}))
    moved = {
        name for name, value in plain.trained.weights.items() if not torch.equal(value, adapted.trained.weights[name])
    }
    assert moved == {"backbone.1.running_mean", "backbone.1.running_var", "backbone.1.num_batches_tracked"}
    ids = range(41) if source == "training" else range(100, 120)
    images = torch.from_numpy(np.stack([Store().read(str(n)) for n in ids])).permute(0, 3, 1, 2).float() / 128 - 1
    means = plain.grader.backbone[0](images).mean((0, 2, 3))
    assert torch.allclose(adapted.trained.weights["backbone.1.running_mean"], means, atol=1e-4)


def test_a_batch_counts_by_its_photographs_in_the_adapted_statistics() -> None:
    grader = Small()
    images = torch.randint(0, 256, (10, 32, 32, 3), dtype=torch.uint8)
    assert adapt_batch_norm(grader.train(), [images[:8], images[8:]]) == 1
    assert grader.training
    assert grader.backbone[1].momentum == 0.1
    mean = grader.backbone[0](images.permute(0, 3, 1, 2).float() / 128 - 1).mean((0, 2, 3))
    assert torch.allclose(grader.backbone[1].running_mean, mean, atol=1e-5)
    assert adapt_batch_norm(torch.nn.Linear(3, 5), []) == 0


@pytest.mark.parametrize("numbers", [(), (1,), (4, 1)])
def test_statistics_of_no_photograph_or_one_at_once_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="batch normalisation takes its statistics from 2 or more"):
        adapt_batch_norm(Small(), [torch.zeros(number, 32, 32, 3, dtype=torch.uint8) for number in numbers])


@pytest.mark.usefixtures("small")
def test_one_validation_photograph_is_enough(tmp_path: Path) -> None:
    made = member(tmp_path, validation=rows(range(100, 101)), layers=True)
    assert made.layers
    assert made.trained.best.validation_qwk == 0.0  # not defined for one photograph


def test_predictions_are_the_graders_own_in_the_order_asked_for() -> None:
    grader = create_grader("mobilenetv3_small_050", input_px=32, drop_rate=0.5, drop_path_rate=0.0).train()
    logits = predict(grader, Store(), ["7", "2", "4"], 32, batch=2)
    grader.eval()
    images = torch.from_numpy(np.stack([Store().read(name) for name in ("7", "2", "4")]))
    with torch.inference_mode():
        assert np.allclose(logits, grader(images).numpy(), atol=1e-5)
    assert logits.dtype == np.float32


@given(st.integers(1, 40), st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_parts_of_a_batch_are_the_batch(num: int, num_parts: int, taught: bool) -> None:
    images = torch.arange(num, dtype=torch.uint8).view(num, 1, 1, 1).expand(num, 2, 2, 3)
    whole = Part(images, torch.arange(num) % 5, torch.rand(num, 5) if taught else None)
    parts = parts_of(whole, num_parts, fewest=num)
    assert len(parts) <= num_parts
    assert min(len(part.images) for part in parts) >= min(2, num)
    for of_parts, of_whole in zip(zip(*parts, strict=True), whole, strict=True):
        assert (of_whole is None and set(of_parts) == {None}) or torch.equal(torch.cat(of_parts), of_whole)


@given(st.integers(4, 60), st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_all_processes_make_equally_many_parts(num: int, num_parts: int, world_size: int) -> None:
    """Batch normalisation over several GPUs would wait for ever for a process that makes fewer."""
    num = max(num, 2 * world_size)
    orders = [
        EpochBatches([0] * num, max(8, 2 * world_size), shuffle=True, seed=1, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for number, shares in enumerate(zip(*orders, strict=True)):
        fewest = {order.fewest(number) for order in orders}
        assert fewest == {min(map(len, shares))}
        wholes = [Part(torch.zeros(len(share), 2, 2, 3), torch.zeros(len(share)), None) for share in shares]
        assert len({len(parts_of(whole, num_parts, fewest=min(fewest))) for whole in wholes}) == 1


def test_a_teacher_who_agrees_adds_nothing_to_the_gradient_and_one_who_does_not_does() -> None:
    distillation = PARAMS.distillation.model_copy(update={"weight": 1.0})
    grader = Small(drop_rate=0.0).eval()
    task = TrainingTask(grader, GradingLoss(PARAMS.objective, torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0])), distillation)
    images, targets = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8), torch.arange(6) % 5
    own = softened(grader(images).detach(), distillation)
    for teacher, still in ((own, True), (own.flip(1), False)):
        grader.zero_grad()
        task(images, targets, teacher).backward()
        assert (grader.backbone[-1].bias.grad.abs().max() < 1e-6) == still
    parts = [task(images[half], targets[half], own[half]) for half in (slice(2), slice(2, 6))]
    assert torch.allclose(sum(parts), task(images, targets, own))
    soft = torch.nn.functional.one_hot(targets, 5).float()
    assert torch.allclose(task(images, soft, own), task(images, targets, own))
