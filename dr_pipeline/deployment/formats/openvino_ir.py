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
from dr_pipeline.deployment.formats.onnx_int8 import OnnxInt8
from dr_pipeline.errors import EnvironmentProblem

_TELEMETRY = "openvino_telemetry"


class OpenVino:
    """A folder with model.xml and model.bin, float32."""

    name = "openvino"
    exact = True
    onnx: type[OnnxGraph] | type[OnnxInt8] = OnnxGraph

    def write(self, source: FormatSource, path: Path) -> None:
        """Converts the ONNX graph; the weights keep their precision."""
        openvino = import_openvino()
        with tempfile.TemporaryDirectory() as scratch:
            graph = Path(scratch) / "model.onnx"
            self.onnx().write(source, graph)
            model = openvino.Core().read_model(graph)
            path.mkdir(parents=True, exist_ok=True)
            openvino.save_model(model, path / "model.xml", compress_to_fp16=False)

    def load(self, path: Path, *, threads: int) -> Logits:
        """Compiles the model for the CPU, float32 where it is not quantised."""
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        compiled = import_openvino().Core().compile_model(path / "model.xml", "CPU", settings)
        requests = threading.local()  # one request runs one call at a time

        def logits(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            if not hasattr(requests, "request"):
                requests.request = compiled.create_infer_request()
            return np.array(requests.request.infer({INPUT_NAME: inputs})[LOGITS_NAME])

        return logits


class OpenVinoInt8(OpenVino):
    """The same from the quantised ONNX graph."""

    name = "openvino-int8"
    exact = False
    onnx = OnnxInt8


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
