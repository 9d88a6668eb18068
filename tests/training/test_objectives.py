"""Losses against slow references, their arithmetic, and training with them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dr_pipeline.metrics.cut_points import best_cut_points
from dr_pipeline.metrics.kappa import kappa_of_confusions, quadratic_weighted_kappa
from dr_pipeline.models.losses.coral import CoralHead
from dr_pipeline.params.losses import LOSSES
from dr_pipeline.params.training import Objective
from dr_pipeline.training.data.batch import softened
from dr_pipeline.training.objectives import GradingLoss, TrainingTask
from tests.factories.training import PARAMS, Small, make_head, num_outputs

ADDITIVE = [loss for loss in LOSSES if loss != "soft_kappa"]


WEIGHTS = torch.tensor([0.5, 1.5, 1.0, 2.0, 3.0])


def objective(loss: str, **changes: Any) -> Objective:
    values = {"label_smoothing": 0.1, "focal_gamma": 2.0, "kappa_share": 0.5} | changes
    return Objective.model_validate({"loss": loss} | values)


def make(loss: str, weights: Tensor = WEIGHTS, **changes: Any) -> tuple[GradingLoss, nn.Module]:
    return GradingLoss(objective(loss, **changes), weights), make_head(loss)


def batch(loss: str, num: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs in float64, grades, and distributions."""
    generator = torch.Generator().manual_seed(seed)
    outputs = 2 * torch.randn(num, num_outputs(loss), generator=generator, dtype=torch.float64)
    grades = torch.randint(0, 5, (num,), generator=generator)
    return outputs, grades, torch.rand(num, 5, generator=generator).softmax(1)


def binary(logit: float, yes: bool) -> float:
    probability = 1 / (1 + math.exp(-logit))
    return -math.log(probability if yes else 1 - probability)


def cost(loss: str, head: nn.Module, outputs: list[float], grade: int, gamma: float) -> float:
    """What one photograph of a known grade costs, from the papers' formulas."""
    if loss == "regression":
        return (outputs[0] - grade) ** 2
    if loss == "corn":  # question k is put to those of grade k or more
        return sum(binary(outputs[k], grade > k) for k in range(min(grade + 1, 4)))
    if loss == "coral":
        assert isinstance(head, CoralHead)
        first, gaps = head.first_bias.item(), [math.log1p(math.exp(raw)) + 0.01 for raw in head.raw_gaps.tolist()]
        return sum(binary(outputs[0] + first - sum(gaps[:k]), grade > k) for k in range(4))
    if loss == "soft_ordinal":  # a width of 1
        targets = [math.exp(-((grade - other) ** 2)) for other in range(5)]
        total = sum(map(math.exp, outputs))
        return sum(
            target * math.log(total / math.exp(out)) for target, out in zip(targets, outputs, strict=True)
        ) / sum(targets)
    probability = math.exp(outputs[grade]) / sum(map(math.exp, outputs))
    return -math.log(probability) * ((1 - probability) ** gamma if loss == "focal" else 1.0)


def reference(loss: str, head: nn.Module, outputs: Tensor, targets: list[list[float]], params: Objective) -> float:
    total = 0.0
    for row, shares in zip(outputs.tolist(), targets, strict=True):
        for grade in range(5):
            share = (1 - params.label_smoothing) * shares[grade] + params.label_smoothing / 5
            total += WEIGHTS[grade].item() * share * cost(loss, head, row, grade, params.focal_gamma)
    if loss != "soft_kappa":
        return total
    weighted = np.array(targets) * WEIGHTS.numpy()
    probabilities = np.exp(outputs.numpy()) / np.exp(outputs.numpy()).sum(axis=1, keepdims=True)
    kappa = float(kappa_of_confusions(weighted.T @ probabilities))
    return params.kappa_share * weighted.sum() * (1 - kappa) + (1 - params.kappa_share) * total


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_each_loss_equals_its_published_formula(loss: str, smoothing: float) -> None:
    grading_loss, head = make(loss, label_smoothing=smoothing)
    outputs, grades, shares = batch(loss)
    for targets, as_shares in [(grades, torch.eye(5)[grades]), (shares, shares)]:
        total = grading_loss.total(head, outputs, targets)
        expected = reference(loss, head, outputs, as_shares.tolist(), objective(loss, label_smoothing=smoothing))
        assert total.item() == pytest.approx(expected, rel=1e-5)
        assert grading_loss.weight(targets).item() == pytest.approx((as_shares * WEIGHTS).sum().item())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_torch(smoothing: float) -> None:
    grading_loss, head = make("cross_entropy", label_smoothing=smoothing)
    outputs, grades, _ = batch("cross_entropy")
    mean = grading_loss.total(head, outputs.float(), grades) / grading_loss.weight(grades)
    torch.testing.assert_close(mean, nn.CrossEntropyLoss(WEIGHTS, label_smoothing=smoothing)(outputs.float(), grades))


@settings(max_examples=40)
@given(st.sampled_from(ADDITIVE), st.integers(1, 11), st.integers(0, 1000), st.booleans())
def test_the_total_is_additive_over_photographs(loss: str, cut: int, seed: int, soft: bool) -> None:
    grading_loss, head = make(loss)
    outputs, grades, shares = batch(loss, seed=seed)
    targets = shares if soft else grades
    whole = grading_loss.total(head, outputs, targets)
    parts = [grading_loss.total(head, outputs[part], targets[part]) for part in (slice(cut), slice(cut, None))]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-6, atol=1e-9)
    weights = [grading_loss.weight(targets[part]) for part in (slice(cut), slice(cut, None))]
    torch.testing.assert_close(sum(weights), grading_loss.weight(targets))


def test_the_soft_kappa_of_certain_predictions_is_the_kappa() -> None:
    grading_loss, head = make("soft_kappa", torch.ones(5), kappa_share=1.0)
    _, grades, _ = batch("soft_kappa", num=40)
    predicted = (grades + torch.randint(-1, 2, (40,), generator=torch.Generator().manual_seed(1))).clamp(0, 4)
    mean = grading_loss.total(head, 100 * torch.eye(5)[predicted], grades) / grading_loss.weight(grades)
    assert mean.item() == pytest.approx(1 - quadratic_weighted_kappa(grades, predicted), abs=1e-5)


@pytest.mark.parametrize("weights", [torch.ones(5), torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])])
def test_an_undefined_soft_kappa_has_loss_zero(weights: Tensor) -> None:
    grading_loss, head = make("soft_kappa", weights, kappa_share=1.0)
    outputs = (100 * torch.eye(5)[[2, 2, 2]]).requires_grad_()
    total = grading_loss.total(head, outputs, torch.tensor([2, 2, 2]))
    total.backward()
    assert total.item() == pytest.approx(0, abs=1e-12)
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients_of_extreme_outputs_are_finite(loss: str, gamma: float) -> None:
    grading_loss, head = make(loss, focal_gamma=gamma, label_smoothing=0.0)
    extremes = torch.tensor([-1e4, 0.0, 1e4])
    outputs = torch.cartesian_prod(*[extremes] * num_outputs(loss)).reshape(-1, num_outputs(loss)).requires_grad_()
    for grade in range(5):
        for targets in (torch.full((len(outputs),), grade), torch.eye(5)[[grade] * len(outputs)]):
            total = grading_loss.total(head, outputs, targets)
            learned = [outputs, *head.parameters()]
            assert torch.isfinite(total)
            assert all(torch.isfinite(slope).all() for slope in torch.autograd.grad(total, learned))


def outputs_for(loss: str, head: nn.Module, grade: int) -> list[float]:
    """Outputs that predict this grade with confidence."""
    if loss == "regression":
        return [float(grade)]
    if loss == "corn":
        return [9.0 if k < grade else -9.0 for k in range(4)]
    if loss == "coral":
        assert isinstance(head, CoralHead)
        biases = head.cumulative(torch.zeros(1, 1))[0].tolist()
        return [-np.mean([biases[0] + 9, *biases, biases[-1] - 9][grade : grade + 2])]
    return [9.0 if k == grade else -9.0 for k in range(5)]


@pytest.mark.parametrize("loss", ["regression", "coral", "corn", "soft_kappa"])
@pytest.mark.parametrize("true", range(5))
def test_a_distant_grade_costs_more_than_a_near_one(loss: str, true: int) -> None:
    grading_loss, head = make(loss, torch.ones(5), label_smoothing=0.0, kappa_share=1.0)
    if isinstance(head, CoralHead):
        nn.init.constant_(head.raw_gaps, 9.0)  # separates the grades
    grades = torch.tensor([true, 0, 1, 2, 3, 4])  # the others make a kappa possible

    def loss_of(predicted: int) -> float:
        rows = [outputs_for(loss, head, grade) for grade in (predicted, 0, 1, 2, 3, 4)]
        return grading_loss.total(head, torch.tensor(rows), grades).item()

    downwards = np.diff([loss_of(grade) for grade in range(true, -1, -1)])
    upwards = np.diff([loss_of(grade) for grade in range(true, 5)])
    assert (downwards > 0).all()
    if loss == "corn":  # it puts no question above the true grade: all predictions beyond it cost the same
        assert (upwards[:1] > 0).all()
        assert upwards[1:] == pytest.approx(0, abs=1e-5)
    else:
        assert (upwards > 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_mixed_precision_does_not_round_the_loss(loss: str) -> None:
    grading_loss, head = make(loss)
    outputs, grades, _ = batch(loss)
    outputs = outputs.bfloat16()
    plain = grading_loss.total(head, outputs.float(), grades)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = grading_loss.total(head, outputs, grades)
    assert mixed.dtype == torch.float32
    assert mixed.item() == plain.item()


@pytest.mark.parametrize("loss", LOSSES)
def test_an_absent_grade_costs_nothing(loss: str) -> None:
    grading_loss, head = make(loss, torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]), label_smoothing=0.0)
    outputs, grades, _ = batch(loss)
    grades = grades.clamp(max=3)
    total = grading_loss.total(head, outputs, grades)
    with_absent = grading_loss.total(head, torch.cat([outputs, outputs[:2]]), torch.cat([grades, torch.tensor([4, 4])]))
    torch.testing.assert_close(with_absent, total)


@pytest.mark.parametrize(
    "targets",
    [torch.zeros(12), torch.zeros(12, 4), torch.zeros(12, 5, dtype=torch.long), torch.zeros(12, dtype=torch.int32)],
)
def test_targets_of_another_shape_are_an_error(targets: Tensor) -> None:
    grading_loss, head = make("cross_entropy")
    with pytest.raises(ValueError, match=r"targets must be grades.*found torch\."):
        grading_loss.total(head, batch("cross_entropy")[0], targets)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("soft", [False, True])
def test_a_linear_model_learns_ordered_grades(loss: str, soft: bool) -> None:
    torch.manual_seed(2)
    features = torch.randn(300, 4)
    severity = features @ torch.tensor([1.0, -0.5, 0.8, 0.0]) + 0.2 * torch.randn(300)
    grades = torch.bucketize(severity, torch.tensor([0.0, 0.6, 1.3, 2.0]))
    targets = 0.8 * torch.eye(5)[grades] + 0.04 if soft else grades
    model = nn.Linear(4, num_outputs(loss))
    grading_loss, head = make(loss, torch.ones(5), label_smoothing=0.0)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.1)
    for _ in range(120):
        optimizer.zero_grad()
        (grading_loss.total(head, model(features), targets) / grading_loss.weight(targets)).backward()
        optimizer.step()
    with torch.no_grad():
        expected = (head(model(features)).softmax(1) * torch.arange(5.0)).sum(1).double().numpy()
    predicted = np.searchsorted(best_cut_points(expected, grades.numpy()), expected, side="right")
    assert quadratic_weighted_kappa(grades.numpy(), predicted) > 0.8


def test_only_a_teacher_that_disagrees_changes_the_gradient() -> None:
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
