"""What can be compared: weights files, trained candidates, bundles and ONNX graphs, each with what it computes."""

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

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.inspect.catalogue import expectations
from dr_pipeline.models.inspect.features import POOLED, embed
from dr_pipeline.models.weights.bundles import METADATA, read_bundle_weights, require_unaltered
from dr_pipeline.models.weights.checkpoint_files import INDEX, checkpoint_files, read_tensors
from dr_pipeline.models.weights.match import fit
from dr_pipeline.models.weights.trained import SPECIFICATION, read_trained

LOGITS, EMBEDDINGS = "logits", "embeddings"
Photographs = NDArray[np.uint8]  # (N, input_px, input_px, 3) RGB
Forward = Callable[[Photographs], NDArray[np.float32]]
_GRAPH = "model.onnx"
_SEED = 0  # of what a weights file lacks: the same on both sides, so that it adds no difference of its own


@dataclass(frozen=True)
class Comparand:
    """One side of a comparison.

    Attributes:
        tensors: By name; empty of a bare graph.
        input_px: Side of the input; None where nothing can be run.
        forwards: What it computes: LOGITS (N, 5), EMBEDDINGS (N, D), both or nothing.
        num_members: How many networks there are; the tensors are the first's.
        listing: The tensors that a weights file lacks or has too many, in words; empty where there are none.
        pixel_path: That made the canvases of its training; None where it is not known.
    """

    tensors: Mapping[str, Tensor]
    input_px: int | None
    forwards: Mapping[str, Forward]
    num_members: int = 1
    listing: str = ""
    pixel_path: Mapping[str, Any] | None = None


def open_comparand(path: Path, *, model: str | None, input_px: int | None = None) -> Comparand:
    """Opens one side.

    Args:
        path: A folder that `train` wrote (its first member), a bundle, an ONNX file of this house, or a weights file.
        model: The timm name of a weights file; None compares its tensors only.
        input_px: Side of that model's input; None takes what its weights expect.

    Raises:
        ParamsError: There is no such file, or timm knows no such model.
        DataError: A file cannot be read, or holds other weights than the model's.
        BundleError: The bundle is of another version, or its weights or graph were altered.
    """
    if (path / SPECIFICATION).is_file():
        grader, spec = read_trained(path)
        forwards = _forwards(grader) | {LOGITS: partial(_run, grader)}
        return Comparand(
            grader.state_dict(), spec["input_px"], forwards, len(spec["members"]), pixel_path=spec["pixel_path"]
        )
    if (path / METADATA).is_file():
        weights = read_bundle_weights(f"bundle:{path}")
        require_unaltered(path, _GRAPH)
        graph = _open_graph(path / _GRAPH)
        return Comparand(
            weights.tensors, graph.input_px, graph.forwards, weights.num_members, pixel_path=weights.pixel_path
        )
    if path.suffix == ".onnx":
        return _open_graph(path)
    if path.is_dir() and not list(path.glob(f"*{INDEX}")):
        raise ParamsError(
            f"the folder holds no {SPECIFICATION}, no {METADATA} and no index of shards",
            where=str(path),
            todo="name a folder that `train` wrote, such as data/models/lite0/0, a bundle or a file",
        )
    tensors = read_tensors(checkpoint_files(path))
    if model is None:
        return Comparand(tensors, None, {})
    side = input_px or expectations(model).input_px[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        grader = create_grader(model, input_px=side, drop_rate=0.0, drop_path_rate=0.0).eval()
    fitted = fit(tensors, grader.backbone, where=str(path))
    grader.backbone.load_state_dict(fitted.tensors, strict=False)
    drawn = f"; the missing ones have random values, seed {_SEED}" if fitted.missing else ""
    # no logits: its classifier is another task's
    return Comparand(tensors, side, _forwards(grader), listing=fitted.listing() + drawn)


def common(a: Comparand, b: Comparand) -> tuple[str, int]:
    """What both compute, LOGITS or EMBEDDINGS, and the side of the photographs that both take.

    Raises:
        ParamsError: There is no such thing.
    """
    shared = [kind for kind in (LOGITS, EMBEDDINGS) if kind in a.forwards and kind in b.forwards]
    if not shared:
        raise ParamsError(
            f"A computes {', '.join(a.forwards) or 'nothing'}, B {', '.join(b.forwards) or 'nothing'}",
            todo="give --model for weights files; compare a bundle's graph with what `train` wrote",
        )
    if a.input_px is None or a.input_px != b.input_px:
        raise ParamsError(f"A takes {a.input_px} px, B {b.input_px} px", todo="give --px for weights files")
    return shared[0], a.input_px


def parity(a: Comparand, b: Comparand, kind: str, photographs: Photographs) -> NDArray[np.float32]:
    """How far apart is what both compute: |A - B|, (N, 5) or (N, D).

    Raises:
        ParamsError: They compute embeddings of other lengths.
    """
    left, right = (side.forwards[kind](photographs) for side in (a, b))
    if left.shape != right.shape:
        raise ParamsError(f"A's {kind} have shape {left.shape}, B's {right.shape}", todo="compare like with like")
    apart: NDArray[np.float32] = np.abs(left - right)
    return apart


def _forwards(grader: Grader) -> dict[str, Forward]:
    def embeddings(photographs: Photographs) -> NDArray[np.float32]:
        found: NDArray[np.float32] = embed(grader, torch.from_numpy(photographs), level=POOLED).numpy()
        return found

    return {EMBEDDINGS: embeddings}


def _run(grader: Grader, photographs: Photographs) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits: NDArray[np.float32] = grader(torch.from_numpy(photographs)).numpy()
    return logits


def _open_graph(path: Path) -> Comparand:
    """A graph that this house exported: photographs in, logits first out."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (image,) = session.get_inputs()
        input_px = int(image.shape[1])
    except Exception as error:  # ONNX Runtime has a dozen types of its own
        raise DataError(f"not a graph of this house: {error}", where=str(path)) from None

    def logits(photographs: Photographs) -> NDArray[np.float32]:
        try:
            found: NDArray[np.float32] = session.run(None, {image.name: photographs})[0]
        except Exception as error:
            raise DataError(f"the graph cannot run {len(photographs)} photographs: {error}", where=str(path)) from None
        return found

    return Comparand({}, input_px, {LOGITS: logits})
