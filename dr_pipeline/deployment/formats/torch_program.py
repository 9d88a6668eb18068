"""torch.export's archive: the network with its weights, for PyTorch without this package's code."""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.deployment.formats import FormatSource, Logits
from dr_pipeline.deployment.formats.trained_weights import read_network
from dr_pipeline.files import atomic_write


class _Calibrated(nn.Module):
    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(image)
        return logits, (logits / self.temperature).softmax(dim=1)


class TorchProgram:
    """uint8 RGB (N, s, s, 3) → logits and calibrated probabilities, as the ONNX graph has them."""

    name = "model.pt2"
    exact = True

    def write(self, source: FormatSource, path: Path) -> None:
        """Traces the network with a free batch."""
        model = _Calibrated(read_network(source.facts, source.weights), source.temperature).eval()
        example = torch.zeros(2, source.input_px, source.input_px, 3, dtype=torch.uint8)
        program = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        with atomic_write(path) as stream:
            torch.export.save(program, stream)

    def load(self, path: Path, *, threads: int) -> Logits:
        """Loads the program; `threads` holds for all of torch."""
        torch.set_num_threads(threads)
        module = torch.export.load(path).module()

        def logits(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            with torch.inference_mode():
                return cast("Tensor", module(torch.from_numpy(inputs))[0]).numpy()

        return logits
