"""Export formats. To add one, write a class with the members of `ExportFormat` in a file and one line in FORMATS."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ParamsError

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Inputs = Iterable[NDArray[np.uint8]]


@dataclass(frozen=True)
class FormatSource:
    """What a format is written from.

    Attributes:
        onnx: The deployed graph, as `onnx_graph.export_onnx` wrote it.
        facts: Entries of export.json or of a bundle's `model`: `model`, `network`, `loss`, `input_px`, `ensemble`.
        weights: weights.safetensors of the same networks.
        temperature: Of calibration; the formats' `probabilities` are calibrated with it.
        calibration: Gives training photographs as model inputs, uint8 RGB (1, input_px, input_px, 3); for int8.
    """

    onnx: bytes
    facts: Mapping[str, Any]
    weights: Path
    temperature: float
    calibration: Callable[[], Inputs]

    @property
    def input_px(self) -> int:
        """Side of the input."""
        return int(self.facts["input_px"])


class ExportFormat(Protocol):
    """How a network is written to a file or folder, and run from it."""

    name: str  # of the file or folder
    exact: bool  # float32 arithmetic: every decision must stay the same

    def write(self, source: FormatSource, path: Path) -> None:
        """Writes the network to the file or folder `path`; the batch stays free."""

    def load(self, path: Path, *, threads: int) -> Logits:
        """A function from uint8 RGB (N, input_px, input_px, 3) to logits, float32 (N, 5); threads may share it."""


# name → "module:class"; the bundle holds the format `onnx` or `onnx-int8`
FORMATS: dict[str, str] = {
    "onnx": "dr_pipeline.deployment.formats.onnx_graph:OnnxGraph",
    "onnx-int8": "dr_pipeline.deployment.formats.onnx_int8:OnnxInt8",
    "onnx-fp16": "dr_pipeline.deployment.formats.onnx_half:OnnxHalf",
    "openvino": "dr_pipeline.deployment.formats.openvino_ir:OpenVino",
    "pt2": "dr_pipeline.deployment.formats.torch_program:TorchProgram",
    "safetensors": "dr_pipeline.deployment.formats.trained_weights:TrainedWeights",
    "hf": "dr_pipeline.deployment.formats.hugging_face:HuggingFace",
}


def export_format(name: str) -> ExportFormat:
    """Returns a registered format.

    Raises:
        ParamsError: No format of this name is registered.
    """
    if name not in FORMATS:
        raise ParamsError(f"unknown export format {name!r}; known: {', '.join(FORMATS)}")
    module, _, attribute = FORMATS[name].partition(":")
    return cast("ExportFormat", getattr(importlib.import_module(module), attribute)())
