"""Logits of validation photographs by ensembles whose weights were not fitted on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv, write_csv
from dr_pipeline.schema import GRADES

_VERSION = 1
_COLUMNS = ("schema_version", "image_id", *(f"logit{grade}" for grade in GRADES))


def write_out_of_fold_logits(path: Path, image_ids: Sequence[str], logits: NDArray[np.float32]) -> None:
    """Writes logits, shape (N, 5), of N photographs."""
    rows = [
        {"schema_version": _VERSION, "image_id": image_id} | {f"logit{grade}": f"{row[grade]:.6f}" for grade in GRADES}
        for image_id, row in zip(image_ids, logits, strict=True)
    ]
    write_csv(path, _COLUMNS, rows)


def read_out_of_fold_logits(path: Path, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """Reads what write_out_of_fold_logits wrote, float32 (N, 5), in the order of `image_ids`.

    Raises:
        DataError: The table is missing, of another version, or lacks a photograph.
    """
    known = {row["image_id"]: row for row in read_csv(path, _COLUMNS, version=_VERSION)}
    if missing := [name for name in image_ids if name not in known]:
        raise DataError(f"no logits of {missing[0]!r}", where=str(path), todo="run `dvc repro`")
    rows = [[float(known[name][f"logit{grade}"]) for grade in GRADES] for name in image_ids]
    return np.array(rows, dtype=np.float32).reshape(-1, len(GRADES))
