"""SimSiam's loss and its spread, where the answer is known."""

import pytest
import torch
from torch import nn

from dr_pipeline.models.grader import create_grader
from dr_pipeline.training.self_supervised.simsiam import WIDTH, SimSiam, spread

PX = 32


@pytest.fixture(scope="module")
def model() -> SimSiam:
    torch.manual_seed(1)
    return SimSiam(create_grader("resnet10t", input_px=PX, drop_rate=0.0, drop_path_rate=0.0), input_px=PX).train()


def views(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, 2, PX, PX, 3), dtype=torch.uint8, generator=generator)


def test_the_spread_is_one_in_every_direction_and_zero_where_all_are_equal() -> None:
    everywhere = torch.randn(4000, 64, generator=torch.Generator().manual_seed(3))
    assert spread(everywhere).item() == pytest.approx(1.0, abs=0.01)
    assert spread(everywhere + 1000).item() < 0.01
    assert spread(torch.ones(8, 64)).item() == 0
    assert spread(torch.zeros(8, 64)).item() == 0
    assert spread(torch.eye(64)).item() == pytest.approx(1.0, abs=0.01)


def test_equal_views_that_predict_themselves_have_the_lowest_loss(model: SimSiam) -> None:
    same = views()[:, :1].expand(-1, 2, -1, -1, -1)
    plain = SimSiam(model.grader, input_px=PX).eval()
    plain.projector, plain.output_norm, plain.predictor = nn.Identity(), nn.Identity(), nn.Identity()
    loss, _ = plain(same)
    assert loss.item() == pytest.approx(-1.0, abs=1e-5)


def test_the_loss_is_a_cosine_and_reaches_every_parameter_but_the_classifier(model: SimSiam) -> None:
    loss, deviation = model(views())
    assert -1 <= loss.item() <= 1
    assert 0 < deviation.item() < 1.5
    loss.backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"grader.backbone.fc.weight", "grader.backbone.fc.bias"}
    model.zero_grad(set_to_none=True)


def test_the_spread_is_not_hidden_by_the_normalisation_after_it(model: SimSiam) -> None:
    class Nearly(nn.Module):
        """Projections that are the same but for a hundredth."""

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            generator = torch.Generator().manual_seed(6)
            return 1 + 0.01 * torch.randn(len(features), WIDTH, generator=generator)

    collapsed = SimSiam(model.grader, input_px=PX).train()
    collapsed.projector = Nearly()
    _, deviation = collapsed(views())
    assert deviation.item() < 0.02
    assert spread(collapsed.output_norm(Nearly()(torch.empty(12, 1)))).item() > 0.9


def test_no_gradient_reaches_the_encoder_through_the_targets(model: SimSiam) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.ones(WIDTH))

        def forward(self, projections: torch.Tensor) -> torch.Tensor:
            return self.value.expand(len(projections), -1)

    stopped = SimSiam(model.grader, input_px=PX).train()
    stopped.predictor = Constant()
    loss, _ = stopped(views())
    loss.backward()
    assert stopped.predictor.value.grad is not None
    assert all(parameter.grad is None for parameter in stopped.grader.parameters())
