"""Compares two sets of weights: tensor by tensor, and by their outputs on the same photographs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.fundus.canvas import model_input
from dr_pipeline.models.inspect.model_sources import EMBEDDINGS, LOGITS, Images, ModelSource
from dr_pipeline.models.weights.match_state_dict import strip_prefix
from dr_pipeline.models.weights.trained_weights import require_pixel_path
from dr_pipeline.tables.tensors import TENSORS, TensorRow, TensorStatus

_SEED = 0  # of the noise images
_MAX_LISTED = 10


@dataclass(frozen=True)
class Comparison:
    """Two model sources compared.

    Attributes:
        tensors: Empty if one side is a bare ONNX graph.
        remarks: On members and mismatches, one line each.
        outputs: One line; empty if they were not compared.
    """

    tensors: tuple[TensorRow, ...]
    remarks: tuple[str, ...]
    outputs: str

    def describe(self) -> str:
        """Lines of text: remarks, counts by status, the ten largest differences of tensors, and the outputs."""
        lines = list(self.remarks)
        if self.tensors:
            counts = Counter(row.status for row in self.tensors)
            lines.append(
                "tensors: " + ", ".join(f"{counts[status]} {status}" for status in TensorStatus if counts[status])
            )
        changed = [row for row in self.tensors if row.status != TensorStatus.EQUAL]
        changed.sort(key=lambda row: float("inf") if row.relative is None else row.relative, reverse=True)
        lines += [f"  {_describe(row)}" for row in changed[:_MAX_LISTED]]
        if len(changed) > _MAX_LISTED:
            lines.append(f"  and {len(changed) - _MAX_LISTED} more; --out FILE.csv lists all")
        return "\n".join(filter(None, [*lines, self.outputs]))


def compare_models(
    a: ModelSource, b: ModelSource, *, store: CanvasStore | None = None, num_images: int = 8, out: Path | None = None
) -> Comparison:
    """Compares the tensors of two sources and, if both can be run, their outputs.

    Args:
        a: One side.
        b: The other.
        store: Canvases to run both on; None for noise.
        num_images: Number of images.
        out: CSV table of the tensors to write.

    Raises:
        ParamsError: Nothing can be compared, or a source was trained on canvases of another pixel path.
        DataError: A canvas cannot be read, or two tensors of one side have the same name.
    """
    if store is not None:
        _require_training_canvases(store, a, b)
    remarks = [
        f"{name} has {side.num_members} networks: its first one's tensors; a bundle's graph computes their combination"
        for name, side in (("A", a), ("B", b))
        if side.num_members > 1
    ]
    remarks += [f"{name}: {side.mismatches}" for name, side in (("A", a), ("B", b)) if side.mismatches]
    tensors = compare_tensors(a.tensors, b.tensors) if a.tensors and b.tensors else ()
    if out is not None:
        if not tensors:
            raise ParamsError("a bare ONNX graph has no tensors by the network's names", todo="leave --out out")
        TENSORS.write(out, tensors)
    outputs = ""
    if a.forwards and b.forwards:
        try:
            outputs = compare_outputs(a, b, store=store, num_images=num_images)
        except ParamsError as error:
            if not tensors:
                raise
            outputs = f"outputs not compared: {error.what}; {error.todo}"
    elif not tensors and not remarks:
        raise ParamsError("nothing to compare", todo="give --model for a weights file beside an ONNX graph")
    return Comparison(tensors, tuple(remarks), outputs)


def compare_tensors(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> tuple[TensorRow, ...]:
    """Compares all tensors, in A's order, then those only in B.

    Args:
        a: Name → tensor; names may have wrapper prefixes.
        b: As well.

    Raises:
        DataError: Two tensors of one side have the same name without prefixes.
    """
    left, right = _strip_prefixes(a, "A"), _strip_prefixes(b, "B")
    return tuple(_difference(name, left.get(name), right.get(name)) for name in dict.fromkeys((*left, *right)))


def compare_outputs(a: ModelSource, b: ModelSource, *, store: CanvasStore | None, num_images: int) -> str:
    """Runs both on the same images; returns the largest and the mean absolute difference in words.

    Logits are compared if both have them, else embeddings. Arguments as compare_models.

    Raises:
        ParamsError: They have no common output, take inputs of different sizes, or give outputs of different shapes.
        DataError: A canvas cannot be read.
    """
    kind = next((kind for kind in (LOGITS, EMBEDDINGS) if kind in a.forwards and kind in b.forwards), None)
    if kind is None:
        raise ParamsError(
            f"A computes {', '.join(a.forwards) or 'nothing'}, B {', '.join(b.forwards) or 'nothing'}",
            todo="give --model for weights files; compare a bundle's graph with what `train` wrote",
        )
    if a.input_px is None or a.input_px != b.input_px:
        raise ParamsError(f"A takes {a.input_px} px, B {b.input_px} px", todo="give --px for weights files")
    images = _images(store, num_images, a.input_px)
    left, right = (side.forwards[kind](images) for side in (a, b))
    if left.shape != right.shape:
        raise ParamsError(
            f"A's {kind} have shape {left.shape}, B's {right.shape}", todo="compare networks of the same architecture"
        )
    difference = np.abs(left - right)
    source = "canvases" if store else f"photographs of noise, seed {_SEED}"
    return f"{kind} of {len(images)} {source}: at most {difference.max():.3g} apart, {difference.mean():.3g} on average"


def _require_training_canvases(store: CanvasStore, *sources: ModelSource) -> None:
    """Raises ParamsError if a source is known to be trained on canvases of another pixel path."""
    for source in sources:
        if source.pixel_path is not None:
            require_pixel_path(source.pixel_path, store.pixel_path, where=str(source.path))


def _images(store: CanvasStore | None, count: int, input_px: int) -> Images:
    if store is None:
        return np.random.default_rng(_SEED).integers(0, 256, (count, input_px, input_px, 3), dtype=np.uint8)
    ids = [image_id for image_id, row in store.rows.items() if row.shard][:count]
    if not ids:
        raise DataError("there are no canvases", where=str(store.root), todo="leave --canvases out to compare on noise")
    return np.stack([model_input(store.read(image_id), input_px) for image_id in ids])


def _describe(row: TensorRow) -> str:
    size = "" if row.max_abs is None else f", at most {row.max_abs:.3g}, relative {row.relative:.3g}"
    return f"{row.tensor}: {row.status}{size}"


def _strip_prefixes(tensors: Mapping[str, Tensor], side: str) -> dict[str, Tensor]:
    stripped: dict[str, Tensor] = {}
    for stored_name, tensor in tensors.items():
        name = strip_prefix(stored_name, ())
        if name in stripped:
            raise DataError(f"two tensors of {side} are named {name!r} after removing wrapper prefixes")
        stripped[name] = tensor
    return stripped


def _difference(name: str, a: Tensor | None, b: Tensor | None) -> TensorRow:
    row = partial(TensorRow, tensor=name, shape_a=_shape(a), shape_b=_shape(b))
    if a is None or b is None:
        return row(status=TensorStatus.ONLY_B if a is None else TensorStatus.ONLY_A)
    if a.shape != b.shape:
        return row(status=TensorStatus.SHAPE)
    left, right = a.double().flatten(), b.double().flatten()
    difference, norms = (left - right).abs(), (float(left.norm()), float(right.norm()))
    norm, product = float(difference.norm()), norms[0] * norms[1]
    return row(
        status=TensorStatus.EQUAL if torch.equal(left, right) else TensorStatus.DIFFERS,
        max_abs=float(difference.max()) if difference.numel() else 0.0,
        relative=norm / norms[0] if norms[0] else (float("inf") if norm else 0.0),
        cosine=float(left @ right) / product if product else None,
    )


def _shape(tensor: Tensor | None) -> str:
    return "" if tensor is None else "×".join(map(str, tensor.shape)) or "1"
