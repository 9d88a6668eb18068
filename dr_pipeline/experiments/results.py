"""What one arm on one fold gave, on disk: enough to make every table again without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv, read_json, write_csv, write_json
from dr_pipeline.schema import GRADES
from dr_pipeline.tables.splits import SplitRow

_VERSION = 1
_LOGITS = "logits.csv"
_FACTS = "result.json"
_COLUMNS = ("schema_version", "part", "image_id", *(f"logit{grade}" for grade in GRADES))
_PARTS = ("validation", "outer")


@dataclass(frozen=True)
class FoldResult:
    """One trained network's answers.

    Attributes:
        validation: Logits of the inner validation part, shape (V, 5), in its order.
        outer: Logits of the outer fold, shape (N, 5), in its order.
        facts: Plain values of the training: seconds, epochs, best_epoch, device, …
    """

    validation: NDArray[np.float32]
    outer: NDArray[np.float32]
    facts: Mapping[str, Any]


def write_result(
    folder: Path, result: FoldResult, validation: Sequence[SplitRow], outer: Sequence[SplitRow], *, key: str
) -> None:
    """Keeps a result; the facts with the key are written last, so that half a result is none."""
    table = [
        {"schema_version": _VERSION, "part": part, "image_id": row.image_id}
        # nine digits give a 32-bit float back exactly
        | {f"logit{grade}": f"{values[grade]:.9g}" for grade in GRADES}
        for part, rows, logits in ((_PARTS[0], validation, result.validation), (_PARTS[1], outer, result.outer))
        for row, values in zip(rows, logits, strict=True)
    ]
    write_csv(folder / _LOGITS, _COLUMNS, table)
    write_json(folder / _FACTS, {"schema_version": _VERSION, "key": key, "facts": dict(result.facts)})


def read_result(
    folder: Path, validation: Sequence[SplitRow], outer: Sequence[SplitRow], *, key: str
) -> FoldResult | None:
    """What `write_result` kept under this key, or None where there is none.

    Raises:
        DataError: The files are damaged.
    """
    if not (folder / _FACTS).is_file():
        return None
    kept = read_json(folder / _FACTS)
    if kept.get("key") != key:
        return None
    rows = read_csv(folder / _LOGITS, _COLUMNS, version=_VERSION)
    return FoldResult(
        validation=_logits(folder, rows, _PARTS[0], validation),
        outer=_logits(folder, rows, _PARTS[1], outer),
        facts=kept["facts"],
    )


def _logits(
    folder: Path, table: Sequence[Mapping[str, str]], part: str, rows: Sequence[SplitRow]
) -> NDArray[np.float32]:
    mine = [row for row in table if row["part"] == part]
    if [row["image_id"] for row in mine] != [row.image_id for row in rows]:
        raise DataError(
            f"holds other photographs than the {part} part",
            where=str(folder / _LOGITS),
            todo="remove the folder and start again: this fold is trained anew",
        )
    return np.array([[row[f"logit{grade}"] for grade in GRADES] for row in mine], dtype=np.float32)
