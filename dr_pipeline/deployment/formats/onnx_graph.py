"""ONNX: pixels in, logits and probabilities out, normalisation inside the graph."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from dr_pipeline.bundle.session import FLOAT32, INPUT_NAME, LOGITS_NAME, PRECISION, PROBABILITIES_NAME, OnnxModel
from dr_pipeline.deployment.formats import FormatSource, Logits
from dr_pipeline.errors import BundleError
from dr_pipeline.files import atomic_write

OPSET = 20  # onnxruntime 1.17 and newer, OpenVINO 2024 and newer read it


class _WithProbabilities(nn.Module):
    def __init__(self, grader: nn.Module) -> None:
        super().__init__()
        self.grader = grader

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.grader(image)
        return logits, logits.softmax(dim=1)


class OnnxGraph:
    """The deployed graph, its probabilities calibrated."""

    name = "model.onnx"
    exact = True

    def write(self, source: FormatSource, path: Path) -> None:
        """Writes the graph of the bundle or export, with the temperature before its softmax."""
        write_onnx(calibrated(source.onnx, source.temperature), path)

    def load(self, path: Path, *, threads: int) -> Logits:
        """Loads the graph into ONNX Runtime."""
        return OnnxModel(path, threads=threads).logits


def export_onnx(grader: nn.Module, *, input_px: int, path: Path) -> None:
    """Writes `grader` as one ONNX file.

    Args:
        grader: uint8 RGB (N, input_px, input_px, 3) → logits (N, 5).
        input_px: Side of the input; fixed in the graph. The batch is free.
        path: The file to write: input `image`, outputs `logits` and `probabilities`, float32 (N, 5).
    """
    model = _WithProbabilities(grader).eval().cpu()
    write_onnx(to_onnx(model, input_px=input_px, outputs=[LOGITS_NAME, PROBABILITIES_NAME]), path)


def to_onnx(model: nn.Module, *, input_px: int, outputs: list[str]) -> onnx.ModelProto:
    """The graph of a network in evaluation mode: input `image`, uint8 RGB (N, input_px, input_px, 3).

    Args:
        model: The network.
        input_px: Side of the input; fixed in the graph. The batch is free.
        outputs: Names of its outputs.
    """
    # a batch of two: an example of one would fix the batch dimension to one
    example = torch.zeros(2, input_px, input_px, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (example,),
            written,
            input_names=[INPUT_NAME],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        return onnx.load(written)


def calibrated(model: bytes, temperature: float) -> onnx.ModelProto:
    """The graph with `probabilities` = softmax(logits / temperature); `logits` stay as they are.

    Raises:
        BundleError: The graph does not end as `export_onnx` ends it.
    """
    graph = onnx.load_from_string(model)
    last = graph.graph.node[-1]
    if last.op_type != "Softmax" or [*last.input] != [LOGITS_NAME] or [*last.output] != [PROBABILITIES_NAME]:
        raise BundleError("the graph does not end with the softmax of its logits", todo="export it again")
    divisor = onnx.numpy_helper.from_array(np.array(temperature, dtype=np.float32), "temperature")
    graph.graph.initializer.append(divisor)
    scaled = onnx.helper.make_node("Div", [LOGITS_NAME, divisor.name], ["calibrated_logits"])
    graph.graph.node.insert(len(graph.graph.node) - 1, scaled)
    last.input[0] = scaled.output[0]
    return graph


def write_onnx(
    model: onnx.ModelProto, path: Path, *, precision: str = FLOAT32, entries: Mapping[str, str] | None = None
) -> None:
    """Writes a graph without what its maker records of its own run; equal graphs give equal bytes.

    Args:
        model: The graph, which is changed.
        path: The file.
        precision: Stated in the file where it is not float32; a bundle's self-test needs it.
        entries: Further entries of the file's own metadata.
    """
    remove_provenance(model)
    stated = dict(entries or {}) | ({PRECISION: precision} if precision != FLOAT32 else {})
    if stated:
        onnx.helper.set_model_props(model, stated)
    with atomic_write(path) as stream:
        stream.write(model.SerializeToString(deterministic=True))


def remove_provenance(model: onnx.ModelProto) -> None:
    """Removes what the exporter records of its own run: source lines with paths of this machine, module names.

    A bundle must not reveal where it was built, and equal weights must give equal files on every machine.
    """
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for function in model.functions:
        for part in (function, *function.node):
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
