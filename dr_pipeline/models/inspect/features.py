"""Embeddings of photographs: the pooled features of a network or the mean of any level, written as parquet."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import ParamsError
from dr_pipeline.files import atomic_write
from dr_pipeline.fundus.canvas import model_input
from dr_pipeline.logs import progress
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.timm_catalogue import pretrained_info
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.models.weights.trained_weights import read_trained, require_pixel_path
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.splits import SplitRow

POOLED = "pooled"  # the input of the classifier
_SCHEMA = (("image_id", pa.string()), ("split", pa.string()), ("fold", pa.int32()), ("grade", pa.int32()))


@dataclass(frozen=True)
class FeatureNetwork:
    """A network in evaluation mode, the side of its input, and a description of both for the table's metadata."""

    grader: Grader
    input_px: int
    model: str
    weights: str


def trained_network(folder: Path, store: CanvasStore) -> FeatureNetwork:
    """The first member of a trained candidate, for the canvases that it was trained on.

    Raises:
        DataError: The folder is incomplete.
        ParamsError: The canvases have another pixel path than those of its training.
    """
    grader, spec = read_trained(folder)
    require_pixel_path(spec["pixel_path"], store.pixel_path, where=str(folder))
    weights = f"trained as {spec['candidate']}, fold {spec['fold']}, member {spec['members'][0]}"
    return FeatureNetwork(grader, spec["input_px"], spec["model"], weights)


def pretrained_network(model: str, *, weights: str, input_px: int | None = None) -> FeatureNetwork:
    """A timm network with initial weights.

    Args:
        model: The timm name.
        weights: As initialise_weights.
        input_px: None takes the height that its weights expect.

    Raises:
        ParamsError: timm has no such model, or as initialise_weights.
        DataError: The weights cannot be read or are of another architecture.
    """
    input_px = input_px or pretrained_info(model).input_px[0]
    grader = create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0).eval()
    return FeatureNetwork(grader, input_px, model, initialise_weights(grader, model=model, weights=weights))


def feature_levels(grader: Grader) -> tuple[str, ...]:
    """Timm's names of a network's levels, from the input to the classifier; POOLED is the last."""
    stages = cast("Sequence[Mapping[str, Any]]", getattr(grader.backbone, "feature_info", ()))
    return (*(str(stage["module"]) for stage in stages), POOLED)


def resolve_level(grader: Grader, level: str) -> str:
    """A level by its name, or by its index from 0; negative ones count from the last before POOLED.

    Raises:
        ParamsError: The network has no such level.
    """
    levels = feature_levels(grader)
    if level in levels:
        return level
    digits = level.removeprefix("-")
    if digits.isascii() and digits.isdigit() and -len(levels) < int(level) < len(levels) - 1:
        return levels[:-1][int(level)]
    raise ParamsError(
        f"no level {level!r}", where="--level", todo=f"choose from 0 … {len(levels) - 2}, {', '.join(levels)}"
    )


@torch.inference_mode()
def embed(grader: Grader, image: Tensor, *, level: str) -> Tensor:
    """Computes embeddings.

    Args:
        grader: In evaluation mode.
        image: uint8 RGB (N, H, W, 3), on the grader's device.
        level: One of feature_levels.

    Returns:
        float32 (N, D), on the same device; of feature maps and tokens, the mean over positions.

    Raises:
        ParamsError: timm provides no intermediate levels of this network.
    """
    if level == POOLED:
        return grader.features(image).float()
    backbone: Any = grader.backbone  # timm's own methods
    if not hasattr(backbone, "forward_intermediates"):
        raise ParamsError(f"timm provides no levels of {type(backbone).__name__}", todo=f"use --level {POOLED}")
    index = feature_levels(grader).index(level)
    (features,) = backbone.forward_intermediates(grader.normalise(image), indices=[index], intermediates_only=True)
    return cast("Tensor", features).float().mean(dim=(2, 3) if features.ndim == 4 else 1)  # maps are NCHW in timm


def extract_features(
    network: FeatureNetwork,
    store: CanvasStore,
    images: Sequence[SplitRow],
    out: Path,
    *,
    level: str = POOLED,
    batch_size: int = 16,
) -> tuple[int, int]:
    """Embeds the canvases of a split table, on the GPU if there is one, and writes them with write_features.

    Args:
        network: From trained_network or pretrained_network.
        store: The canvases.
        images: Rows of the split table.
        out: The parquet file to write.
        level: One of feature_levels.
        batch_size: Photographs at once.

    Returns:
        Numbers of photographs and of dimensions.

    Raises:
        DataError: A canvas cannot be read.
        ParamsError: There is no photograph, or no such level.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    grader = network.grader.to(device)
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]

    def embedded() -> Iterable[tuple[Sequence[SplitRow], Tensor]]:
        for batch in progress(batches, label="features"):
            canvases = np.stack([model_input(store.read(image.image_id), network.input_px) for image in batch])
            yield batch, embed(grader, torch.from_numpy(canvases).to(device), level=level)

    metadata = {"model": network.model, "weights": network.weights, "level": level, "input_px": str(network.input_px)}
    return write_features(out, embedded(), metadata=metadata)


def write_features(
    path: Path, batches: Iterable[tuple[Sequence[SplitRow], Tensor]], *, metadata: Mapping[str, str]
) -> tuple[int, int]:
    """Writes a parquet table batch by batch, atomically.

    Columns: image_id, split, fold (null if there is none), grade, and embedding, a list of float32.

    Args:
        path: The file.
        batches: Photographs and their embeddings (N, D).
        metadata: Model, weights and level, for the file's metadata.

    Returns:
        Numbers of photographs and of dimensions.

    Raises:
        ParamsError: There is no photograph.
    """
    count = dimensions = 0
    writer: Any = None
    with atomic_write(path) as stream:
        for images, embeddings in batches:
            dimensions = embeddings.shape[1]
            if writer is None:
                fields = [*_SCHEMA, ("embedding", pa.list_(pa.float32(), dimensions))]
                entry = {"dr_pipeline": json.dumps({**metadata, "research_use": RESEARCH_USE})}
                writer = pq.ParquetWriter(stream, pa.schema(fields, metadata=entry))
            columns = [pa.array([getattr(image, name) for image in images], kind) for name, kind in _SCHEMA]
            flat = pa.array(embeddings.cpu().contiguous().numpy().reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, dimensions))
            writer.write_batch(pa.record_batch(columns, schema=writer.schema))
            count += len(images)
        if writer is None:
            raise ParamsError("there are no photographs to embed")
        writer.close()
    return count, dimensions
