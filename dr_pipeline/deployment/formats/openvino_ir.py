"""OpenVINO's intermediate representation, made from the ONNX graph and run by OpenVINO on the CPU."""

import importlib
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.session import INPUT_NAME, LOGITS_NAME
from dr_pipeline.deployment.formats import FormatSource, Logits
from dr_pipeline.deployment.formats.onnx_graph import OnnxGraph
from dr_pipeline.errors import EnvironmentProblem

_TELEMETRY = "openvino_telemetry"


class OpenVino:
    """A folder with model.xml and model.bin, float32."""

    name = "openvino"
    exact = True

    def write(self, source: FormatSource, path: Path) -> None:
        """Converts the ONNX graph; the weights stay float32."""
        openvino = import_openvino()
        with tempfile.TemporaryDirectory() as scratch:
            graph = Path(scratch) / "model.onnx"
            OnnxGraph().write(source, graph)
            model = openvino.Core().read_model(graph)
            path.mkdir(parents=True, exist_ok=True)
            openvino.save_model(model, path / "model.xml", compress_to_fp16=False)

    def load(self, path: Path, *, threads: int) -> Logits:
        """Compiles the model for the CPU, in float32 even where the CPU has bfloat16."""
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        compiled = import_openvino().Core().compile_model(path / "model.xml", "CPU", settings)
        requests = threading.local()  # one request runs one call at a time

        def logits(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            if not hasattr(requests, "request"):
                requests.request = compiled.create_infer_request()
            return np.array(requests.request.infer({INPUT_NAME: inputs})[LOGITS_NAME])

        # OpenVINO's Python module initialises a part of itself at its first call. Two threads that make it at once may
        # wait for one another for ever, each with what the other needs (that and the interpreter's lock).
        side = compiled.input(INPUT_NAME).partial_shape[1].get_length()
        logits(np.zeros((1, side, side, 3), np.uint8))
        return logits


def import_openvino() -> Any:
    """The module `openvino`, without its telemetry: merely importing it would send an event to Google Analytics.

    Raises:
        EnvironmentProblem: OpenVINO is not installed.
    """
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # its import fails, and a stub takes its place
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        raise EnvironmentProblem("OpenVINO is not installed", todo="pip install 'dr-pipeline[openvino]'") from None
