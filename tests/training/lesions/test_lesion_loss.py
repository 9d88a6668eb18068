"""The loss counts what was annotated, and nothing else."""

import pytest
import torch

from dr_pipeline.errors import DataError
from dr_pipeline.training.lesions.lesion_loss import LesionLoss

SHOWN = torch.zeros(2, 2, 16, 16)
SHOWN[:, :, 4:8, 4:8] = 1
BOTH = torch.ones(2, 2, dtype=torch.bool)


def loss(*, false_positives: float = 0.5) -> LesionLoss:
    return LesionLoss([32.0, 32.0], false_positives=false_positives, focal_gamma=2.0, focal_weight=1.0)


def test_a_perfect_outline_costs_nothing_and_a_wrong_one_more() -> None:
    right, wrong = 40 * SHOWN - 20, 20 - 40 * SHOWN
    assert loss()(right, SHOWN, BOTH) == pytest.approx(0, abs=1e-4)
    assert loss()(wrong, SHOWN, BOTH) > 1


def test_what_was_not_annotated_has_no_gradient() -> None:
    labelled = torch.tensor([[True, False], [True, True]])
    logits = torch.zeros(2, 2, 16, 16, requires_grad=True)
    loss()(logits, SHOWN, labelled).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1].abs().max() == 0
    assert logits.grad[[0, 1, 1], [0, 0, 1]].abs().amin(dim=(1, 2)).min() > 0


def test_a_half_for_false_positives_is_dice() -> None:
    logits = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    without_focal = LesionLoss([0.0, 0.0], false_positives=0.5, focal_gamma=0.0, focal_weight=0.0)
    found = logits.sigmoid()
    both, all_of_it = (found * SHOWN).sum((0, 2, 3)), (found + SHOWN).sum((0, 2, 3))
    expected = (1 - (both + 50) / (all_of_it / 2 + 50)).mean()
    assert without_focal(logits, SHOWN, BOTH) == pytest.approx(float(expected), abs=1e-5)


def test_a_false_pixel_weighs_as_much_in_a_batch_without_the_kind_as_in_one_with_it() -> None:
    focal = LesionLoss([1600.0, 1600.0], false_positives=0.5, focal_gamma=2.0, focal_weight=1.0)
    overlap = LesionLoss([1600.0, 1600.0], false_positives=0.5, focal_gamma=2.0, focal_weight=0.0)
    disc = torch.zeros(2, 2, 64, 64)
    disc[:, :, :20, :40] = 1

    def gradient(shown: torch.Tensor) -> float:
        logits = (10 * shown - 5).requires_grad_()
        (focal(logits, shown, BOTH) - overlap(logits, shown, BOTH)).backward()
        assert logits.grad is not None
        return float(logits.grad[0, 0, 60, 60])

    assert gradient(disc) > 0
    assert gradient(torch.zeros_like(disc)) == pytest.approx(gradient(disc))


def test_a_batch_without_annotations_is_refused() -> None:
    with pytest.raises(DataError, match="no kind of lesion was annotated"):
        loss()(SHOWN, SHOWN, ~BOTH)
