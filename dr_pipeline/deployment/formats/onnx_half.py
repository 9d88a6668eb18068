"""ONNX in 16-bit floating point: half the size; pixels in and logits out stay as they are."""

from pathlib import Path

import onnx

from dr_pipeline.bundle.session import FLOAT16, INPUT_NAME, OnnxModel
from dr_pipeline.deployment.formats import FormatSource, Logits
from dr_pipeline.deployment.formats.onnx_graph import calibrated, write_onnx


class OnnxHalf:
    """Runs in ONNX Runtime. Few CPUs compute in 16 bits: the others convert, and take longer than in float32."""

    name = "model-fp16.onnx"
    exact = False

    def write(self, source: FormatSource, path: Path) -> None:
        """See `half`."""
        write_onnx(half(calibrated(source.onnx, source.temperature)), path, precision=FLOAT16)

    def load(self, path: Path, *, threads: int) -> Logits:
        """Loads the graph into ONNX Runtime."""
        return OnnxModel(path, threads=threads).logits


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Converts weights and operations; normalisation, pooling over the photograph and the softmax too."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    outputs = [INPUT_NAME, *(output.name for output in model.graph.output)]
    converted: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=outputs)
    return converted
