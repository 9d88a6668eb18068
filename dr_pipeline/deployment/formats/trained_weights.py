"""safetensors: the weights as they were trained, for this package and for fine-tuning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.deployment.formats import FormatSource, Logits
from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json, write_json
from dr_pipeline.models.ensemble import combination_from_dict, deployed_network, split_state_dict
from dr_pipeline.models.grader import Grader, grader_from_spec
from dr_pipeline.models.weights.checkpoint_files import read_tensors, write_tensors

_WEIGHTS, _SPEC = "model.safetensors", "network.json"
_KEYS = ("model", "input_px", "network", "loss", "ensemble")


class TrainedWeights:
    """A folder with model.safetensors and network.json, the description to load it by."""

    name = "safetensors"
    exact = True

    def write(self, source: FormatSource, path: Path) -> None:
        """Copies the tensors and describes the network."""
        write_tensors(read_tensors((source.weights,)), path / _WEIGHTS)
        write_json(path / _SPEC, {key: source.facts[key] for key in _KEYS} | {"temperature": source.temperature})

    def load(self, path: Path, *, threads: int) -> Logits:
        """Builds the network; `threads` holds for all of torch."""
        torch.set_num_threads(threads)
        network = read_network(read_json(path / _SPEC), path / _WEIGHTS)

        def logits(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            with torch.inference_mode():
                return cast("Tensor", network(torch.from_numpy(inputs))).numpy()

        return logits


def read_network(facts: Mapping[str, Any], weights: Path) -> nn.Module:
    """The deployed network in PyTorch, evaluation mode: one grader, or an ensemble with its views.

    Args:
        facts: See `FormatSource.facts`.
        weights: weights.safetensors of a bundle or an export.

    Raises:
        DataError: The weights are not those of the described networks.
    """
    graders = read_graders(facts, weights)
    ensemble = facts["ensemble"]
    count = len(graders) * len(ensemble["views"])
    combination = combination_from_dict(ensemble["combine"], ensemble["fitted"], count)
    return deployed_network(graders, ensemble["views"], combination).eval()


def read_graders(facts: Mapping[str, Any], weights: Path) -> list[Grader]:
    """The trained networks one by one; see `read_network`."""
    states = split_state_dict(read_tensors((weights,)))
    graders = [grader_from_spec(facts) for _ in states]
    for grader, state in zip(graders, states, strict=True):
        try:
            grader.load_state_dict(state)
        except RuntimeError as error:
            first_line = str(error).partition("\n")[0]
            raise DataError(f"weights of another network: {first_line}", where=str(weights)) from None
        grader.eval()
    return graders
