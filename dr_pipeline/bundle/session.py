"""Runs an exported network on ONNX Runtime, on the CPU or a GPU: uint8 RGB images in, logits out."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import BundleError, EnvironmentProblem
from dr_pipeline.schema import NUM_GRADES

INPUT_NAME = "image"
_CUDA = "CUDAExecutionProvider"
LOGITS_NAME = "logits"
PROBABILITIES_NAME = "probabilities"
ROUTING_NAME = "routing"  # a cascade's third output, float32 (N,): below 0 its second network has graded too
FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
PRECISION = "precision"  # an entry of the ONNX file's own metadata; a file without it is float32
_NOWHERE = os.path.join(os.devnull, "none")  # noqa: PTH118 (ONNX Runtime takes text)
_GPU_RUNTIME = "onnxruntime-gpu in place of onnxruntime, with CUDA and cuDNN (docs/how-to/score-at-scale.md)"
_REMAKE = "export it again with `dvc repro export`, or use an undamaged copy"


class Device(StrEnum):
    """Where the network runs."""

    CPU = "cpu"
    CUDA = "cuda"


def open_session(path: Path | bytes, *, where: str, threads: int, device: Device = Device.CPU) -> Any:
    """An ONNX Runtime session of a file, or of its bytes, that reads no other file.

    Args:
        path: The ONNX file, or its bytes.
        where: Its name, for messages.
        threads: Threads inside one operator; operators run one after the other.
        device: Where it runs.

    Raises:
        BundleError: The file cannot be read, or is no ONNX model.
        EnvironmentProblem: There is no GPU, or ONNX Runtime cannot use it.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # An idle worker would spin for the next operator and take a core from the threads that decode photographs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # No weights outside the file: by default they would be read from the working directory, which no hash covers.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    options.log_severity_level = 3
    try:
        source = path if isinstance(path, bytes) else path.read_bytes()
        session = ort.InferenceSession(source, options, providers=_providers(ort, device))
    except OSError as error:
        raise BundleError(f"the model cannot be read: {error.strerror}", where=where, todo=_REMAKE) from None
    except EnvironmentProblem:
        raise
    except Exception as error:  # ONNX Runtime's exception classes derive from Exception directly
        first_line = str(error).partition("\n")[0][:200]
        raise BundleError(f"not a runnable ONNX model: {first_line}", where=where, todo=_REMAKE) from None
    if device is Device.CUDA and session.get_providers()[0] != _CUDA:  # it falls back to the CPU by itself
        raise EnvironmentProblem(
            "ONNX Runtime cannot use the GPU", where="--device cuda", todo=f"try nvidia-smi; install {_GPU_RUNTIME}"
        )
    return session


class OnnxModel:
    """An exported network: `image` uint8 (N, s, s, 3) in, `logits` and `probabilities` float32 (N, 5) out.

    Threads may call `logits` at the same time; ONNX Runtime's `Run` is re-entrant and releases the GIL.

    Args:
        path: The ONNX file, or its bytes (a bundle hashes the bytes that it runs).
        threads: Threads inside one operator; operators run one after the other.
        device: A GPU computes in full float32 too: its logits differ by rounding.

    Attributes:
        input_px: Side of the input.
        precision: `float32`, `float16` or `int8`, as the file states it.
        is_cascade: Whether it holds two networks, see `routing`.

    Raises:
        BundleError: The file is no ONNX model, or its inputs and outputs break the contract.
        EnvironmentProblem: There is no GPU, or ONNX Runtime cannot use it.
    """

    def __init__(self, path: Path | bytes, *, threads: int, device: Device = Device.CPU) -> None:
        self._where = "model.onnx (from memory)" if isinstance(path, bytes) else str(path)
        self._session = open_session(path, where=self._where, threads=threads, device=device)
        self.input_px = self._check_contract()
        self.is_cascade = ROUTING_NAME in {output.name for output in self._session.get_outputs()}
        self.precision: str = self._session.get_modelmeta().custom_metadata_map.get(PRECISION, FLOAT32)

    def logits(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Gives the network's logits.

        Args:
            inputs: Pictures, uint8 RGB, shape (N, input_px, input_px, 3).

        Returns:
            float32, shape (N, 5).

        Raises:
            BundleError: `inputs` has another type or shape, or the network answers with numbers that are not finite.
        """
        expected = (self.input_px, self.input_px, 3)
        if inputs.dtype != np.uint8 or inputs.ndim != 4 or inputs.shape[1:] != expected:
            raise BundleError(
                f"the model takes uint8 (N, {', '.join(map(str, expected))}), given {inputs.dtype} {inputs.shape}",
                where=self._where,
            )
        logits: NDArray[np.float32] = self._session.run([LOGITS_NAME], {INPUT_NAME: inputs})[0]
        if not np.isfinite(logits).all():
            raise BundleError("the network's logits are not finite", where=self._where, todo=_REMAKE)
        return logits

    def routing(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of a cascade, in grades, shape (N,): below 0 its second network has graded too; the farther, the surer."""
        return np.asarray(self._session.run([ROUTING_NAME], {INPUT_NAME: inputs})[0])

    def _check_contract(self) -> int:
        """Returns the side of the input in pixels."""
        inputs = {node.name: (node.type, node.shape) for node in self._session.get_inputs()}
        outputs = {node.name: (node.type, node.shape) for node in self._session.get_outputs()}
        kind, shape = inputs.get(INPUT_NAME, ("", []))
        if len(inputs) != 1 or kind != "tensor(uint8)" or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
            raise self._breach(f"input {INPUT_NAME!r} uint8 (N, s, s, 3)", inputs)
        if not isinstance(shape[1], int) or isinstance(shape[0], int):
            raise self._breach(f"input {INPUT_NAME!r} with a fixed side and a free batch", inputs)
        for name in (LOGITS_NAME, PROBABILITIES_NAME):
            kind, out_shape = outputs.get(name, ("", []))
            if kind != "tensor(float)" or len(out_shape) != 2 or out_shape[1] != NUM_GRADES:
                raise self._breach(f"output {name!r} float32 (N, {NUM_GRADES})", outputs)
        return shape[1]

    def _breach(self, expected: str, found: dict[str, tuple[str, list[Any]]]) -> BundleError:
        listed = ", ".join(f"{name} {kind} {shape}" for name, (kind, shape) in found.items())
        return BundleError(f"the model must have {expected}; it has {listed}", where=self._where, todo=_REMAKE)


def _providers(ort: Any, device: Device) -> list[Any]:
    """ONNX Runtime's execution providers for a device; what CUDA lacks runs on the CPU.

    Raises:
        EnvironmentProblem: This ONNX Runtime is built without CUDA.
    """
    if device is Device.CPU:
        return ["CPUExecutionProvider"]
    if _CUDA not in ort.get_available_providers():
        raise EnvironmentProblem("this ONNX Runtime has no CUDA", where="--device cuda", todo=f"install {_GPU_RUNTIME}")
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN that pip installed
    return [(_CUDA, {"use_tf32": "0"}), "CPUExecutionProvider"]
