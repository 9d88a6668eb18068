"""The results of one arm on one fold, cached on disk under a hash of everything that they depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.code_version import code_version
from dr_pipeline.errors import DataError
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.files import read_json, sha256_json, write_json
from dr_pipeline.tables.out_of_fold import FoldLogitsRow, read_fold_logits, write_fold_logits
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.run_identity import provenance

_VERSION = 1
_LOGITS = "logits.csv"
_FACTS = "result.json"
# Trains an arm on a fold and predicts its outer part: its import closure decides a result.
_MODULE = "dr_pipeline.experiments.outer_fold"


def result_key(
    settings: Settings,
    values: Mapping[str, Any],
    *,
    index_sha256: str,
    pixel_path: dict[str, Any],
    readings: Mapping[str, Sequence[int]],
    digest: str,
    camera_shift: float,
) -> str:
    """The cache key: a hash of values, initial weights, teacher, photographs, readings, folds, code and libraries.

    Args:
        settings: The arm's settings.
        values: Those of them that matter: all for a result, `training_values` for a network's training.
        index_sha256: Hash of the canvas index, which lists the pixel hash of every photograph.
        pixel_path: The pixel path of the canvases.
        readings: Individual readings of the photographs.
        digest: Hash of the fold's parts.
        camera_shift: Strength of the cameras through which the outer fold is predicted; 0 for none.

    Raises:
        ParamsError: A folder of initial weights does not hold one index of shards.
        DataError: An index of shards cannot be read, or a shard is missing.
    """
    return sha256_json(
        {
            "settings": dict(values),
            "canvas_index_sha256": index_sha256,
            "pixel_path": pixel_path,
            "readings": {image_id: list(grades) for image_id, grades in readings.items()},
            "division": digest,
            "camera_shift": camera_shift,
            **provenance(settings.candidate.weights, settings.training.distillation.teacher, module=_MODULE),
        }
    )


def result_code_sha256() -> str:
    """Code version of a result."""
    return code_version(_MODULE)


@dataclass(frozen=True)
class FoldResult:
    """The predictions of one arm on one fold.

    Attributes:
        validation: Logits of the inner validation part, shape (V, 5), in its order.
        outer: Logits of the outer fold, shape (N, 5), in its order.
        facts: Plain values of the training: seconds, epochs, best_epoch, device, …
        shifted: Of each camera, the logits of the outer fold through it, shape (N, 5).
    """

    validation: NDArray[np.float32]
    outer: NDArray[np.float32]
    facts: Mapping[str, Any]
    shifted: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def write_result(
    folder: Path, result: FoldResult, validation: Sequence[SplitRow], outer: Sequence[SplitRow], *, key: str
) -> None:
    """Writes a result; the facts with the key are written last, so that half a result does not count."""
    parts = [("validation", "", validation, result.validation), ("outer", "", outer, result.outer)]
    parts += [("outer", camera, outer, logits) for camera, logits in result.shifted.items()]
    table = [
        FoldLogitsRow(part=part, camera=camera, image_id=row.image_id, logits=tuple(values))
        for part, camera, rows, logits in parts
        for row, values in zip(rows, logits.tolist(), strict=True)
    ]
    write_fold_logits(folder / _LOGITS, table, private=True)
    write_json(folder / _FACTS, {"schema_version": _VERSION, "key": key, "facts": dict(result.facts)})


def read_result(
    folder: Path, validation: Sequence[SplitRow], outer: Sequence[SplitRow], *, key: str
) -> FoldResult | None:
    """Reads the result that `write_result` wrote under this key; None where there is none.

    Raises:
        DataError: The files are damaged.
    """
    if not (folder / _FACTS).is_file():
        return None
    document = read_json(folder / _FACTS)
    if document.get("key") != key:
        return None
    table = read_fold_logits(folder / _LOGITS)
    return FoldResult(
        validation=_logits(folder, table, "validation", validation),
        outer=_logits(folder, table, "outer", outer),
        facts=document["facts"],
        shifted={
            camera: _logits(folder, table, "outer", outer, camera)
            for camera in dict.fromkeys(row.camera for row in table)
            if camera
        },
    )


def _logits(
    folder: Path, table: Sequence[FoldLogitsRow], part: str, rows: Sequence[SplitRow], camera: str = ""
) -> NDArray[np.float32]:
    of_part = [row for row in table if (row.part, row.camera) == (part, camera)]
    if [row.image_id for row in of_part] != [row.image_id for row in rows]:
        raise DataError(
            f"holds other photographs than the {part} part",
            where=str(folder / _LOGITS),
            todo="remove the folder and start again: this fold is trained again",
        )
    return np.array([row.logits for row in of_part], dtype=np.float32)
