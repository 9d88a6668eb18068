"""Small graders for tests, whose batch normalisation is not the identity."""

import torch
from torch import nn

from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.params.candidate import Network


def lively(
    model: str = "mobilenetv3_small_050", *, seed: int = 1, px: int = 64, network: Network | None = None
) -> Grader:
    """A grader as after training: running statistics, scales and shifts of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        grader = create_grader(model, input_px=px, drop_rate=0.0, drop_path_rate=0.0, network=network).eval()
    for layer in grader.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.weight, 0.5), (layer.bias, -0.5), (layer.running_mean, -0.5)):
                tensor.data = low + torch.rand(tensor.shape, generator=generator)
            layer.running_var = 0.5 + torch.rand(layer.num_features, generator=generator)
    return grader


def photographs(count: int = 2, *, px: int = 64, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, px, px, 3), dtype=torch.uint8, generator=generator)
