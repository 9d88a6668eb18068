"""ONNX in 8-bit integers: calibrated on training photographs, sensitive layers left in float32."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dr_pipeline.bundle.session import INPUT_NAME, INT8, OnnxModel
from dr_pipeline.deployment.formats import FormatSource, Inputs, Logits
from dr_pipeline.deployment.formats.channel_statistics import channel_means
from dr_pipeline.deployment.formats.equalise import equalise
from dr_pipeline.deployment.formats.onnx_graph import calibrated, write_onnx
from dr_pipeline.deployment.formats.rounding_shift import correct_biases, correctable
from dr_pipeline.errors import GateError
from dr_pipeline.logs import logger, progress

# Error of the logits (root mean square) as a fraction of their spread, on training photographs. ReLU6 networks had 0.02
# to 0.06, Swish ones 0.16. Above it the most sensitive layers are left in float32; the gate on decisions comes after.
MAX_ERROR = 0.1
_PHOTOGRAPHS_OF_ERROR = 32
_LAYERS = ("Conv", "MatMul")
# Adding and clipping in 8 bits too saves conversions between layers. The classifier (Gemm) and the softmax do not pay.
_OPERATIONS = (*_LAYERS, "Add", "Clip")


class OnnxInt8:
    """Runs in ONNX Runtime, so that a bundle can ship it."""

    name = "model-int8.onnx"
    exact = False

    def write(self, source: FormatSource, path: Path) -> None:
        """See `quantise`."""
        quantised = quantise(calibrated(source.onnx, source.temperature), source.calibration())
        write_onnx(quantised, path, precision=INT8)

    def load(self, path: Path, *, threads: int) -> Logits:
        """Loads the graph into ONNX Runtime."""
        return OnnxModel(path, threads=threads).logits


def quantise(model: onnx.ModelProto, photographs: Inputs, *, max_error: float = MAX_ERROR) -> onnx.ModelProto:
    """Quantises weights (signed, per channel) and activations (unsigned, by their range on `photographs`).

    Channels are equalised (`equalise`), biases corrected for the rounding of weights (`rounding_shift`). The first
    convolution stays in float32: it sees three channels, where 8 bits cost accuracy and save no time. If the logits are
    off by more than `max_error`, each layer is quantised alone, and the most sensitive ones stay in float32 too: 1, 2,
    4, 8 … of them.

    Args:
        model: uint8 (N, s, s, 3) → logits and probabilities.
        photographs: Training photographs, uint8 RGB (1, s, s, 3); all of them are held in memory.
        max_error: The largest error of the logits, root mean square, as a fraction of their standard deviation.

    Raises:
        GateError: The error stays above `max_error` with half of the layers in float32.
    """
    pixels = list(photographs)
    layers = [node.name for node in model.graph.node if node.op_type in _LAYERS]
    with tempfile.TemporaryDirectory() as scratch:
        quantiser = _Quantiser(model, pixels, Path(scratch))
        kept = layers[:1]
        quantised, error = quantiser.run(kept)
        if error > max_error:
            others = layers[1:]
            logger.info("int8: error %.3f, allowed %g; measuring the layers one by one", error, max_error)
            alone = [
                quantiser.run([name for name in layers if name != layer])[1]
                for layer in progress(others, label="sensitivity")
            ]
            ranked = [others[index] for index in np.argsort(alone)[::-1]]
            count = 1
            while error > max_error and 2 * count <= len(layers):
                kept = [layers[0], *ranked[:count]]
                quantised, error = quantiser.run(kept)
                count *= 2
    if not error <= max_error:
        raise GateError(
            f"the logits are off by {error:.3f} of their spread on {len(pixels)} training photographs, allowed "
            f"{max_error:g}, with {len(kept)} of {len(layers)} layers in float32",
            where="int8",
            todo="stay with float32, or train a network with ReLU6 such as EfficientNet-Lite",
        )
    logger.info("int8: error of the logits %.3f; %d of %d layers in float32", error, len(kept), len(layers))
    return quantised


class _Quantiser:
    """Quantises one graph again and again; the ranges of the activations are measured once."""

    def __init__(self, model: onnx.ModelProto, pixels: Sequence[NDArray[np.uint8]], scratch: Path) -> None:
        self._pixels, self._scratch = pixels, scratch
        step = max(1, len(pixels) // _PHOTOGRAPHS_OF_ERROR)
        self._checked = pixels[::step][:_PHOTOGRAPHS_OF_ERROR]
        self._model = equalise(model, pixels)
        inputs = [node.input[0] for node in correctable(self._model)]
        self._means = channel_means(self._model, inputs, self._checked)
        self._expected = self._logits(model)

    def run(self, in_float32: Sequence[str]) -> tuple[onnx.ModelProto, float]:
        """The quantised graph and the error of its logits."""
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        float32, out = self._scratch / "float32.onnx", self._scratch / "quantised.onnx"
        layers = {node.name for node in self._model.graph.node} - {*in_float32}
        # written, since the library changes a graph that it is given in memory
        onnx.save_model(correct_biases(self._model, layers, self._means), float32)
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # the library advises on preprocessing that the exporter has done
        try:
            quantize_static(
                float32,
                out,
                _Reader(self._pixels),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_OPERATIONS),
                per_channel=True,
                activation_type=QuantType.QUInt8,  # with signed weights: the CPU's 8-bit dot product takes u8 × s8
                weight_type=QuantType.QInt8,
                nodes_to_exclude=list(in_float32),
                calibration_cache_path=self._scratch / "ranges.json",
            )
        finally:
            root.setLevel(level)
        quantised = onnx.load(out)
        difference = self._logits(quantised) - self._expected
        return quantised, float(np.sqrt(np.mean(difference**2)) / max(self._expected.std(), 1e-6))

    def _logits(self, model: onnx.ModelProto) -> NDArray[np.float32]:
        network = OnnxModel(model.SerializeToString(), threads=1)
        return np.concatenate([network.logits(pixels) for pixels in self._checked])


class _Reader:
    """The photographs as ONNX Runtime's calibration reads them."""

    def __init__(self, pixels: Sequence[NDArray[np.uint8]]) -> None:
        self._rest = iter(pixels)

    def get_next(self) -> dict[str, Any] | None:
        """The next photograph; None at the end."""
        pixels = next(self._rest, None)
        return None if pixels is None else {INPUT_NAME: pixels}
