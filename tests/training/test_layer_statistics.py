"""Layer statistics: planted dead channels and shifted BatchNorm are detected, and nothing else."""

from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dr_pipeline.errors import GateError
from dr_pipeline.training.layer_statistics import LayerRow, layer_statistics

pytestmark = pytest.mark.slow


class Small(nn.Module):
    """Photographs to a convolution, BatchNorm, ReLU and a linear GELU on channels last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.linear = nn.Linear(4, 6)
        self.gelu = nn.GELU()
        self.head = nn.Linear(6, 5)

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).float() / 255
        tokens = self.relu(self.norm(self.convolution(pixels))).permute(0, 2, 3, 1)  # (N, H, W, C): channels last
        return self.head(self.gelu(self.linear(tokens)).mean((1, 2)))


def photographs(count: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8, generator=generator) for _ in range(count)]


def described(grader: nn.Module, **more: Any) -> dict[str, LayerRow]:
    return {row.layer: row for row in layer_statistics(grader, photographs(), when="after", **more)}


def settle(grader: Small) -> None:
    """Sets BatchNorm to the statistics of these photographs."""
    grader.norm.momentum = None  # type: ignore[assignment]
    grader.train()
    with torch.no_grad():
        for batch in photographs():
            grader(batch)
    grader.eval()


def test_layers_are_in_execution_order() -> None:
    rows = layer_statistics(Small(), photographs(), when="before")
    assert [(row.layer, row.kind, row.channels) for row in rows] == [
        ("norm", "BatchNorm2d", 4),
        ("relu", "ReLU", 4),
        ("gelu", "GELU", 6),
    ]
    assert {row.when for row in rows} == {"before"}
    assert list(asdict(rows[0])) == ["layer", "kind", "when", "channels", "dead_channels", "mean", "std", "shift"]


def test_only_dead_channels_are_detected() -> None:
    grader = Small()
    settle(grader)
    alive = described(grader)
    assert (alive["relu"].dead_channels, alive["gelu"].dead_channels) == (0, 0)
    with torch.no_grad():
        grader.norm.bias[2] = -1000.0
        grader.linear.weight[[1, 4]] = 0.0
        grader.linear.bias[[1, 4]] = torch.tensor([-5.0, 0.7])  # never above zero; always the same
    rows = described(grader)
    assert rows["relu"].dead_channels == 1
    assert rows["gelu"].dead_channels == 2
    assert rows["norm"].dead_channels == 0  # a negative channel is not dead before the activation


def test_the_shift_of_batch_norm_is_in_standard_deviations() -> None:
    grader = Small()
    settle(grader)
    assert described(grader)["norm"].shift == pytest.approx(0.0, abs=1e-4)
    running = grader.norm.running_mean, grader.norm.running_var
    assert running[0] is not None
    assert running[1] is not None
    running[0][1] += 2 * (running[1][1] + grader.norm.eps).sqrt()
    assert described(grader)["norm"].shift == pytest.approx(2 / 4, abs=1e-3)  # one of four channels, by two
    assert described(grader)["relu"].shift is None


def test_mean_and_std_are_those_of_all_outputs() -> None:
    grader = Small().eval()
    with torch.no_grad():
        pixels = torch.cat(photographs()).permute(0, 3, 1, 2).float() / 255
        out = grader.norm(grader.convolution(pixels)).double()
    row = described(grader)["norm"]
    assert (row.mean, row.std) == (
        pytest.approx(out.mean().item(), rel=1e-5),
        pytest.approx(out.std().item(), rel=1e-3),
    )


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 11), max_size=4, unique=True))
def test_statistics_do_not_depend_on_the_batches(cuts: list[int]) -> None:
    images = torch.cat(photographs())
    whole = layer_statistics(Small(), [images], when="after")
    pieces = layer_statistics(Small(), torch.tensor_split(images, sorted(cuts)), when="after")
    for one, other in zip(whole, pieces, strict=True):
        assert (one.layer, one.dead_channels) == (other.layer, other.dead_channels)
        assert (one.mean, one.std) == pytest.approx((other.mean, other.std), rel=1e-4, abs=1e-5)
        assert one.shift == (None if other.shift is None else pytest.approx(other.shift, rel=1e-4))


def test_a_layer_that_is_called_twice_has_two_rows() -> None:
    class Twice(Small):
        def forward(self, image: Tensor) -> Tensor:
            pixels = image.permute(0, 3, 1, 2).float() / 255
            first = self.relu(self.convolution(pixels)).mean((2, 3))
            return self.head(self.relu(self.linear(first)))

    rows = described(Twice())
    assert {name: row.channels for name, row in rows.items()} == {"relu": 4, "relu#2": 6}


def test_nothing_in_the_grader_changes() -> None:
    grader = Small().train()
    before = {name: value.clone() for name, value in grader.state_dict().items()}
    described(grader)
    assert grader.training
    assert all(torch.equal(value, before[name]) for name, value in grader.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in grader.modules())


def test_no_batch_and_outputs_that_are_not_finite_are_refused() -> None:
    grader = Small()
    with pytest.raises(ValueError, match="at least one batch"):
        layer_statistics(grader, [], when="after")
    with torch.no_grad():
        grader.convolution.weight[0] = float("nan")
    with pytest.raises(GateError, match="outputs of the layer norm are not finite"):
        described(grader)
    assert not any(module._forward_hooks for module in grader.modules())


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("mobilenetv3_small_050", {"BatchNormAct2d", "ReLU", "Hardswish", "Hardsigmoid"}),
        ("vit_tiny_patch16_224", {"LayerNorm", "GELU"}),
        ("convnext_atto", {"LayerNorm", "LayerNorm2d", "GELU"}),
    ],
)
def test_timm_networks_are_described_with_their_own_channels(model: str, kinds: set[str]) -> None:
    from dr_pipeline.models.grader import create_grader

    grader = create_grader(model, input_px=64, drop_rate=0.0, drop_path_rate=0.0)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    rows = layer_statistics(grader, [images], when="before")
    assert {row.kind for row in rows} <= kinds | {"BatchNorm2d"}
    assert len({row.kind for row in rows} & kinds) >= 2
    widths = {module.normalized_shape[0] for module in grader.modules() if isinstance(module, nn.LayerNorm)}
    assert all(row.channels in widths for row in rows if row.kind.startswith("LayerNorm"))
    assert all((row.shift is None) != row.kind.startswith("BatchNorm") for row in rows)
