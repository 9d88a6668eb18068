"""Costs of layers whose figures are known by hand, and of networks whose figures are published."""

import pytest
import timm
import torch
from torch import Tensor, nn

from dr_pipeline.models.inspect.complexity import Complexity, layer_macs, measure_complexity


@pytest.mark.parametrize(
    ("layer", "shape", "macs", "activations"),
    [
        (nn.Linear(7, 5), (1, 7), 35, 5),
        (nn.Linear(7, 5), (1, 3, 7), 105, 15),  # of three tokens
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), 8 * 10 * 12 * 3 * 9, 8 * 10 * 12),
        (nn.Conv2d(6, 8, 3, groups=2), (1, 6, 10, 10), 8 * 8 * 8 * 3 * 9, 8 * 8 * 8),
        (nn.Conv2d(6, 6, 5, stride=2, padding=2, groups=6), (1, 6, 10, 10), 6 * 5 * 5 * 25, 6 * 5 * 5),
        (nn.Conv1d(4, 2, 3), (1, 4, 9), 2 * 7 * 4 * 3, 2 * 7),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (1, 4, 5, 5), 4 * 5 * 5 * 3 * 4, 6 * 10 * 10),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_one_layer(layer: nn.Module, shape: tuple[int, ...], macs: int, activations: int, device: str) -> None:
    cost = measure_complexity(layer.to(device), torch.zeros(shape, device=device))
    assert (cost.layer_macs, cost.activations) == (macs, activations)
    assert cost.total_macs == macs, "torch's own counter must agree"
    layer.to_empty(device="cpu")  # parametrize shares it between devices


def test_resnet_18_has_its_published_figures() -> None:
    with torch.device("meta"):
        cost = measure_complexity(timm.create_model("resnet18"), torch.empty(1, 3, 224, 224))
    # timm's results/benchmark-infer-*.csv: 11.69 M parameters, 1.82 GMACs, 2.48 M activations. Its counter adds
    # two operations of BatchNorm (fvcore) for every activation, and we do not: 1.814 + 2 × 0.00248 = 1.819.
    assert cost.parameters == 11_689_512
    assert (cost.layer_macs + 2 * cost.activations) / 1e9 == pytest.approx(1.82, abs=0.005)
    assert cost.activations / 1e6 == pytest.approx(2.48, abs=0.01)
    assert cost.total_macs == cost.layer_macs


def test_products_inside_attention_are_in_the_total() -> None:
    """ViT: two products of tokens × tokens × width in each block, beside its layers."""
    with torch.device("meta"):
        cost = measure_complexity(timm.create_model("vit_tiny_patch16_224"), torch.empty(1, 3, 224, 224))
    tokens, width, blocks = 197, 192, 12
    assert cost.total_macs - cost.layer_macs == blocks * 2 * tokens * tokens * width


def test_a_layer_that_is_called_twice_counts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, values: Tensor) -> Tensor:
            return self.layer(self.layer(values))

    cost = measure_complexity(Twice(), torch.zeros(1, 4))
    assert (cost.layer_macs, cost.parameters) == (32, 20)


def test_what_the_backward_pass_needs() -> None:
    """Linear keeps its input, ReLU its output, the next Linear that same storage; parameters are not counted."""
    network = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 1))
    assert measure_complexity(network, torch.zeros(1, 10)).saved_bytes == 4 * (10 + 20)


def test_memory_of_a_batch_follows_its_formula() -> None:
    cost = Complexity(parameters=1000, layer_macs=0, total_macs=0, activations=0, saved_bytes=300)
    assert cost.training_bytes(8) == 16 * 1000 + 8 * 300


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)).eval()
    measure_complexity(network, torch.zeros(1, 3, 4, 4))
    assert not network.training
    assert not network[0]._forward_hooks


def test_a_batch_is_refused_and_other_layers_too() -> None:
    with pytest.raises(ValueError, match="one example"):
        measure_complexity(nn.Linear(2, 2), torch.zeros(2, 2))
    with pytest.raises(TypeError, match="ReLU"):
        layer_macs(nn.ReLU(), torch.zeros(1), torch.zeros(1))
