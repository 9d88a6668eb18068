"""Opens what can be compared: weights files, trained candidates, bundles and ONNX graphs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from dr_pipeline.bundle_storage import SUFFIX, as_folder
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.inspect.features import POOLED, embed
from dr_pipeline.models.timm_catalogue import pretrained_info
from dr_pipeline.models.weights.checkpoint_files import INDEX_SUFFIX, checkpoint_files, read_tensors
from dr_pipeline.models.weights.match_state_dict import match_state_dict
from dr_pipeline.models.weights.trained_weights import (
    METADATA,
    MODEL_SPEC,
    read_bundle_weights,
    read_trained,
    require_unaltered,
)

LOGITS, EMBEDDINGS = "logits", "embeddings"
Images = NDArray[np.uint8]  # (N, input_px, input_px, 3) RGB
Forward = Callable[[Images], NDArray[np.float32]]
_GRAPH = "model.onnx"
_SEED = 0  # for tensors that a weights file lacks: the same on both sides, so that they add no difference


@dataclass(frozen=True)
class ModelSource:
    """One side of a comparison.

    Attributes:
        path: The file or folder.
        tensors: By name; empty for a bare graph.
        input_px: Side of the input; None if nothing can be run.
        forwards: Its outputs: LOGITS (N, 5), EMBEDDINGS (N, D), both or none.
        num_members: Number of networks; the tensors are those of the first.
        mismatches: Missing and unexpected tensors of a weights file, in words; empty if there are none.
        pixel_path: Of its training canvases; None if unknown.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    input_px: int | None
    forwards: Mapping[str, Forward]
    num_members: int = 1
    mismatches: str = ""
    pixel_path: Mapping[str, Any] | None = None


def open_model_source(path: Path, *, model: str | None = None, input_px: int | None = None) -> ModelSource:
    """Opens one side of a comparison.

    Args:
        path: A folder that `train` wrote (its first member), a bundle, an ONNX file of this pipeline, or a weights
            file.
        model: The timm name of a weights file; None compares its tensors only.
        input_px: Side of that model's input; None takes what its weights expect.

    Raises:
        ParamsError: There is no such file, or timm has no such model.
        DataError: A file cannot be read, or contains other weights than the model's.
        BundleError: The bundle is of another version, or its weights or graph were altered.
    """
    if (path / MODEL_SPEC).is_file():
        grader, spec = read_trained(path)
        forwards: dict[str, Forward] = {EMBEDDINGS: partial(_embed, grader), LOGITS: partial(_run, grader)}
        members = len(spec["members"])
        return ModelSource(
            path, grader.state_dict(), spec["input_px"], forwards, members, pixel_path=spec["pixel_path"]
        )
    if (path / METADATA).is_file() or path.suffix == SUFFIX:
        weights = read_bundle_weights(f"bundle:{path}")
        with as_folder(path) as folder:
            require_unaltered(folder, _GRAPH)
            input_px, forwards = _open_graph(folder / _GRAPH)
        return ModelSource(
            path, weights.tensors, input_px, forwards, weights.num_members, pixel_path=weights.pixel_path
        )
    if path.suffix == ".onnx":
        return ModelSource(path, {}, *_open_graph(path))
    if path.is_dir() and not list(path.glob(f"*{INDEX_SUFFIX}")):
        raise ParamsError(
            f"the folder holds no {MODEL_SPEC}, no {METADATA} and no index of shards",
            where=str(path),
            todo="name a folder that `train` wrote, such as data/models/lite0/0, a bundle or a file",
        )
    tensors = read_tensors(checkpoint_files(path))
    if model is None:
        return ModelSource(path, tensors, None, {})
    side = input_px or pretrained_info(model).input_px[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        grader = create_grader(model, input_px=side, drop_rate=0.0, drop_path_rate=0.0).eval()
    match = match_state_dict(tensors, grader.backbone, where=str(path))
    grader.backbone.load_state_dict(match.tensors, strict=False)
    drawn = f"; the missing ones have random values, seed {_SEED}" if match.missing else ""
    # no logits: its classifier belongs to another task
    return ModelSource(path, tensors, side, {EMBEDDINGS: partial(_embed, grader)}, mismatches=match.summary() + drawn)


def _embed(grader: Grader, images: Images) -> NDArray[np.float32]:
    embeddings: NDArray[np.float32] = embed(grader, torch.from_numpy(images), level=POOLED).numpy()
    return embeddings


@torch.inference_mode()
def _run(grader: Grader, images: Images) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = grader(torch.from_numpy(images)).numpy()
    return logits


def _open_graph(path: Path) -> tuple[int, dict[str, Forward]]:
    """Input side and logits of a graph that this pipeline exported: images in, logits as the first output."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (image,) = session.get_inputs()
        input_px = int(image.shape[1])
    except Exception as error:  # ONNX Runtime has a dozen types of its own
        raise DataError(f"not a graph of this pipeline: {error}", where=str(path)) from None

    def run(images: Images) -> NDArray[np.float32]:
        try:
            logits: NDArray[np.float32] = session.run(None, {image.name: images})[0]
        except Exception as error:
            raise DataError(f"the graph cannot run {len(images)} photographs: {error}", where=str(path)) from None
        return logits

    return input_px, {LOGITS: run}
