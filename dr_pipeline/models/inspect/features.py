"""What a network sees in photographs: numbers from any of its levels, averaged over the picture, as a parquet table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from dr_pipeline.errors import ParamsError
from dr_pipeline.files import atomic_write
from dr_pipeline.models.grader import Grader
from dr_pipeline.schema import RESEARCH_USE

POOLED = "pooled"  # what the classifier sees
_SCHEMA = (("image_id", pa.string()), ("split", pa.string()), ("fold", pa.int32()), ("grade", pa.int32()))


def levels(grader: Grader) -> tuple[str, ...]:
    """Names of a network's levels, from the picture to the classifier; POOLED is the last."""
    stages = cast("Sequence[Mapping[str, Any]]", getattr(grader.backbone, "feature_info", ()))
    return (*(str(stage["module"]) for stage in stages), POOLED)


def level_named(grader: Grader, level: str) -> str:
    """A level by its name, or by its index from 0; negative ones count from the last before POOLED.

    Raises:
        ParamsError: The network has no such level.
    """
    known = levels(grader)
    if level in known:
        return level
    number = level.removeprefix("-")
    if number.isascii() and number.isdigit() and -len(known) < int(level) < len(known) - 1:
        return known[:-1][int(level)]
    raise ParamsError(
        f"no level {level!r}", where="--level", todo=f"choose from 0 … {len(known) - 2}, {', '.join(known)}"
    )


@torch.inference_mode()
def embed(grader: Grader, image: Tensor, *, level: str) -> Tensor:
    """Embeddings of photographs.

    Args:
        grader: In evaluation mode.
        image: uint8 RGB (N, H, W, 3), on the grader's device.
        level: One of `levels`.

    Returns:
        float32 (N, D), on the same device; of a level with positions, their mean.

    Raises:
        ParamsError: timm gives no intermediate levels of this network.
    """
    backbone: Any = grader.backbone  # timm's own methods
    pixels = grader.normalised(image)
    if level == POOLED:
        return cast("Tensor", backbone.forward_head(backbone.forward_features(pixels), pre_logits=True)).float()
    if not hasattr(backbone, "forward_intermediates"):
        raise ParamsError(f"timm gives no levels of {type(backbone).__name__}", todo=f"use --level {POOLED}")
    index = levels(grader).index(level)
    (found,) = backbone.forward_intermediates(pixels, indices=[index], intermediates_only=True)
    return cast("Tensor", found).float().mean(dim=(2, 3) if found.ndim == 4 else 1)  # maps are NCHW in timm


def write_features(
    path: Path, parts: Iterable[tuple[Sequence[Mapping[str, Any]], Tensor]], *, facts: Mapping[str, str]
) -> tuple[int, int]:
    """Writes a parquet table, part by part, whole or not at all.

    Columns: image_id, split, fold (null where there is none), grade, and embedding, a list of float32.

    Args:
        path: The file.
        parts: Rows with the first four columns, and their embeddings (N, D).
        facts: Model, weights and level, for the file's metadata.

    Returns:
        Numbers of photographs and of dimensions.

    Raises:
        ParamsError: There is no photograph.
    """
    count = dimensions = 0
    writer: Any = None
    with atomic_write(path) as stream:
        for rows, embeddings in parts:
            dimensions = embeddings.shape[1]
            if writer is None:
                fields = [*_SCHEMA, ("embedding", pa.list_(pa.float32(), dimensions))]
                metadata = {"dr_pipeline": json.dumps({**facts, "research_use": RESEARCH_USE})}
                writer = pq.ParquetWriter(stream, pa.schema(fields, metadata=metadata))
            columns = [pa.array([row[name] for row in rows], kind) for name, kind in _SCHEMA]
            flat = pa.array(embeddings.cpu().contiguous().numpy().reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, dimensions))
            writer.write_batch(pa.record_batch(columns, schema=writer.schema))
            count += len(rows)
        if writer is None:
            raise ParamsError("there are no photographs to take features of")
        writer.close()
    return count, dimensions
