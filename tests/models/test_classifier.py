"""Where the classifier of an untrained grader begins."""

import pytest
import torch

from dr_pipeline.models.classifier import init_classifier
from dr_pipeline.models.grader import UNMODIFIED, Grader, create_grader
from dr_pipeline.models.losses.coral import CoralHead
from dr_pipeline.params.candidate import Network

GRADES = [0] * 60 + [1] * 10 + [2] * 20 + [3] * 8 + [4] * 2
MEAN = 0.82
NETWORKS = [
    ("efficientnet_lite0", UNMODIFIED, 32),
    ("efficientnet_lite0", UNMODIFIED.model_copy(update={"head": "mlp"}), 32),
    ("dla34", UNMODIFIED, 64),  # the classifier is a convolution
    ("crossvit_tiny_240", UNMODIFIED, 240),  # two classifiers, averaged
    ("convnext_atto", UNMODIFIED, 32),  # a norm before the linear layer, both in one head
    ("vit_tiny_patch16_224", UNMODIFIED, 32),
]


def initialised(
    loss: str,
    model: str = "efficientnet_lite0",
    network: Network = UNMODIFIED,
    px: int = 32,
    *,
    grades: list[int] = GRADES,
) -> Grader:
    grader = create_grader(model, input_px=px, drop_rate=0.0, drop_path_rate=0.0, network=network, loss=loss)
    init_classifier(grader.backbone, grader.head, grades)
    return grader.eval()


def noise(px: int) -> torch.Tensor:
    return torch.randint(0, 256, (2, px, px, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("model", "network", "px"), NETWORKS)
@torch.inference_mode()
def test_regression_begins_at_the_mean_grade_whatever_it_sees(model: str, network: Network, px: int) -> None:
    outputs = initialised("regression", model, network, px).outputs(noise(px))
    torch.testing.assert_close(outputs, torch.full((2, 1), MEAN))


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "soft_kappa"])
@torch.inference_mode()
def test_five_outputs_begin_with_equal_probabilities(loss: str) -> None:
    probabilities = initialised(loss)(noise(32)).softmax(1)
    torch.testing.assert_close(probabilities, torch.full((2, 5), 0.2))


@torch.inference_mode()
def test_corn_begins_with_even_odds_at_each_step() -> None:
    probabilities = initialised("corn")(noise(32)).softmax(1)
    torch.testing.assert_close(probabilities, torch.tensor([[0.5, 0.25, 0.125, 0.0625, 0.0625]]).expand(2, 5))


@torch.inference_mode()
def test_coral_begins_at_the_grades_shares() -> None:
    probabilities = initialised("coral")(noise(32)).softmax(1)[0].tolist()
    assert probabilities == pytest.approx([61 / 105, 11 / 105, 21 / 105, 9 / 105, 3 / 105], abs=1e-5)


def test_an_absent_grade_leaves_coral_finite() -> None:
    grader = initialised("coral", grades=[0] * 3000 + [4] * 3000)
    assert isinstance(grader.head, CoralHead)
    logits = grader.head(torch.zeros(1, 1))
    assert torch.isfinite(logits).all()
    assert torch.isfinite(grader.head.raw_gaps).all()
    assert logits.softmax(1)[0, [0, 4]].tolist() == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.parametrize("loss", ["cross_entropy", "regression", "coral"])
@torch.inference_mode()
def test_without_photographs_there_is_no_prior(loss: str) -> None:
    """The loop then says that there is nothing to learn from."""
    grader = initialised(loss, grades=[])
    assert not grader.outputs(noise(32)).any()
    if loss != "regression":  # whose 0 is grade 0
        torch.testing.assert_close(grader(noise(32)).softmax(1), torch.full((2, 5), 0.2))


def test_the_backbone_learns_from_the_second_step_on() -> None:
    grader = initialised("cross_entropy").train()
    optimizer = torch.optim.AdamW(grader.parameters(), lr=0.01)
    first = next(grader.backbone.parameters())
    for step in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(grader(noise(32)), torch.tensor([0, 4])).backward()
        assert (first.grad.abs().sum() > 0) == (step == 1)
        optimizer.step()
