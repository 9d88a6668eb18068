"""An export format is one class and one registration; it passes the same parity gate as ONNX."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.export_candidate import ExportOptions, export_candidate
from dr_pipeline.deployment.formats import FORMATS, Logits, export_format
from dr_pipeline.errors import GateError, ParamsError
from tests.factories.trained_folds import ensemble

pytestmark = pytest.mark.slow


class ExportedProgram:
    """torch.export's archive."""

    suffix = ".pt2"

    def write(self, network: nn.Module, *, input_px: int, path: Path) -> None:
        example = torch.zeros(2, input_px, input_px, 3, dtype=torch.uint8)
        shapes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=shapes), path)

    def load(self, path: Path, *, threads: int) -> Logits:
        module = torch.export.load(path).module()

        def logits(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            with torch.inference_mode():
                return module(torch.from_numpy(inputs)).numpy()

        return logits


class Shifted(ExportedProgram):
    """Decides differently from the network."""

    def load(self, path: Path, *, threads: int) -> Logits:
        logits = super().load(path, threads=threads)
        return lambda inputs: np.roll(logits(inputs), 1, axis=1)


def export(single: Path, out: Path, name: str) -> None:
    options = ExportOptions(ensemble(), fold=0, folds=(0,), formats=("onnx", name))
    export_candidate(single / "models", CanvasStore(single / "canvases"), single / "splits.csv", out, options)


def test_a_registered_format_is_written_and_verified(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "pt2", f"{__name__}:ExportedProgram")
    export(single, tmp_path / "out", "pt2")
    assert (tmp_path / "out" / "model.pt2").stat().st_size > 0
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (single / "export" / "model.onnx").read_bytes()


def test_a_format_that_decides_differently_is_refused(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "shifted", f"{__name__}:Shifted")
    with pytest.raises(GateError, match=r"model\.pt2"):
        export(single, tmp_path / "out", "shifted")


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ParamsError, match="unknown export format 'tflite'; known: onnx"):
        export_format("tflite")
