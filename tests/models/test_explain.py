"""MONAI's maps of a network in torch: they point at what raises the severity, and follow the weights."""

import numpy as np
import pytest
import torch

from dr_pipeline.models.explain import feature_layers, grad_cam_plus_plus, occlusion
from dr_pipeline.models.grader import Grader, Normalisation
from tests.factories.networks import random_grader

PX = 64


class Blue(torch.nn.Module):
    """Logits whose severity is how much more blue than red there is, in cells of 8 px."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = torch.nn.Conv2d(3, 2, 8, stride=8, bias=False)
        self.positive = torch.nn.ReLU()
        with torch.no_grad():
            more_blue = torch.tensor([[-1.0, 0, 1], [1, 0, -1]])[..., None, None]
            self.cells.weight.copy_(more_blue.expand(2, 3, 8, 8) / 64)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        blue, red = self.positive(self.cells(pixels)).mean((2, 3)).split(1, dim=1)
        return (blue - red) * torch.arange(-2.0, 3.0)


@pytest.fixture(scope="module")
def blue() -> Grader:
    norm = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Grader(Blue(), torch.nn.Identity(), ("red", "green", "blue"), norm, input_px=PX).eval()


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    """Grey, a blue place and a red one."""
    picture = np.full((PX, PX, 3), 90, np.uint8)
    picture[16:24, 40:48] = (20, 90, 220)
    picture[40:48, 8:16] = (220, 90, 20)
    return picture


@pytest.mark.parametrize("name", ["grad_cam_plus_plus", "occlusion"])
def test_the_highest_place_is_what_raises_the_severity(blue: Grader, inputs: np.ndarray, name: str) -> None:
    found = grad_cam_plus_plus(blue, inputs, "positive") if name == "grad_cam_plus_plus" else occlusion(blue, inputs)
    assert found.shape == (PX, PX)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 12 <= row < 28
    assert 36 <= column < 52
    assert found[40:48, 8:16].mean() <= np.median(found)


def test_another_networks_map_is_another(inputs: np.ndarray) -> None:
    one, other = (random_grader(seed=seed, px=PX).eval() for seed in (1, 2))
    layer = feature_layers(one)[1][0]
    maps = [grad_cam_plus_plus(grader, inputs, layer) for grader in (one, other, one)]
    assert np.array_equal(maps[0], maps[2])
    assert not np.allclose(maps[0], maps[1])


def test_layers_are_named_from_fine_to_coarse(blue: Grader) -> None:
    reductions = [reduction for _, reduction in feature_layers(random_grader(px=PX))]
    assert reductions == sorted(reductions)
    assert reductions
    assert feature_layers(blue) == []
