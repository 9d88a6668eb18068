"""What photographs are grouped by for the figures of subgroups: columns of the manifest, quality and resolution."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np

from dr_pipeline.errors import ParamsError
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.manifest import ManifestRow

_QUALITY, _RESOLUTION, _CAMERA = "quality", "resolution", "camera"
_THIRDS = ("lowest third", "middle third", "highest third")
_MEGAPIXELS = {1.0: "under 1 MP", 4.0: "1 to 4 MP", 8.0: "4 to 8 MP", float("inf"): "8 MP and more"}
_COLUMNS = {field.name for field in fields(ManifestRow)} - {"grade", "referable"}


def attributes_of(
    names: Sequence[str], image_ids: Sequence[str], manifest: Mapping[str, ManifestRow], index: Mapping[str, CanvasRow]
) -> dict[str, list[str]]:
    """The value of each attribute for N photographs.

    Args:
        names: Columns of the manifest other than the grade, `quality` (thirds of the score) and `resolution` (in
            megapixels). `camera` is that of the file where the manifest has none.
        image_ids: The N photographs.
        manifest: Rows of data/audited.csv by image id.
        index: Rows of data/canvases/index.csv by image id.

    Returns:
        N values by name; empty: unknown.

    Raises:
        ParamsError: A name is no attribute.
    """
    if unknown := sorted(set(names) - _COLUMNS - {_QUALITY, _RESOLUTION}):
        raise ParamsError(
            f"no attribute {', '.join(unknown)} to group photographs by",
            where="subgroups.by",
            todo=f"use {_QUALITY}, {_RESOLUTION} or a column of the manifest other than the grade",
        )
    return {name: _values(name, image_ids, manifest, index) for name in names}


def _values(
    name: str, image_ids: Sequence[str], manifest: Mapping[str, ManifestRow], index: Mapping[str, CanvasRow]
) -> list[str]:
    if name == _QUALITY:
        return _thirds([index[image_id].quality for image_id in image_ids])
    if name == _RESOLUTION:
        return [_megapixels(index[image_id]) for image_id in image_ids]
    own = [getattr(manifest[image_id], name) for image_id in image_ids]
    texts = ["" if value is None else str(value) for value in own]
    if name == _CAMERA:
        return [text or index[image_id].camera for text, image_id in zip(texts, image_ids, strict=True)]
    return texts


def _thirds(scores: Sequence[float | None]) -> list[str]:
    known = [score for score in scores if score is not None]
    borders = np.quantile(known, [1 / 3, 2 / 3]) if known else [0.0, 0.0]
    return ["" if score is None else _THIRDS[int(np.searchsorted(borders, score))] for score in scores]


def _megapixels(row: CanvasRow) -> str:
    if not (row.width and row.height):
        return ""
    megapixels = row.width * row.height / 1e6
    return next(text for below, text in _MEGAPIXELS.items() if megapixels < below)
