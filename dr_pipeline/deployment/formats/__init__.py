"""Export formats. To add one, write a class with the methods of `ExportFormat` in a file and one line in FORMATS."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dr_pipeline.errors import ParamsError

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class ExportFormat(Protocol):
    """How a network is written to a file, and run from it for the parity check."""

    suffix: str  # of the file's name, with its dot

    def write(self, network: nn.Module, *, input_px: int, path: Path) -> None:
        """Writes a network, uint8 RGB (N, input_px, input_px, 3) → logits (N, 5), as one file with a free batch."""

    def load(self, path: Path, *, threads: int) -> Logits:
        """Returns a function from uint8 RGB (N, input_px, input_px, 3) to logits, float32 (N, 5)."""


# name → "module:class"; the bundle holds the format `onnx`
FORMATS: dict[str, str] = {"onnx": "dr_pipeline.deployment.formats.onnx_graph:OnnxGraph"}


def export_format(name: str) -> ExportFormat:
    """Returns a registered format.

    Raises:
        ParamsError: No format of this name is registered.
    """
    if name not in FORMATS:
        raise ParamsError(f"unknown export format {name!r}; known: {', '.join(FORMATS)}")
    module, _, attribute = FORMATS[name].partition(":")
    return cast("ExportFormat", getattr(importlib.import_module(module), attribute)())
