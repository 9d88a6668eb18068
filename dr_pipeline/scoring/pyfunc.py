"""A bundle as MLflow loads or serves it (`mlflow models serve`): a table of photographs in, a table of scores out.

MLflow calls `_load_pyfunc` by name. Neither MLflow nor pandas is imported: the answer has the class of the input.
"""

import base64
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.machine import usable_cores
from dr_pipeline.scoring.score import Score, failed
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.scoring.task import score_bytes
from dr_pipeline.tables.predictions import PHOTOGRAPH_COLUMNS

# MLflow sets it in the process of `mlflow models serve`, after it has loaded the model.
_SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"


class PyfuncGrader:
    """Scores the rows of a pandas table.

    Args:
        scorer: A loaded bundle.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def predict(self, table: Any, params: dict[str, Any] | None = None) -> Any:
        """Scores each row's photograph; a row without a usable image has a reason.

        Args:
            table: A pandas.DataFrame with a column `image` (a file's bytes) or `path` (a file to read; a server reads
                none, since whoever reaches it could ask for any file of its machine).
            params: None are known.

        Returns:
            A pandas.DataFrame with PHOTOGRAPH_COLUMNS, one row per row of `table`; grade and what follows from it are
            empty where there is none: NaN, or None in a server, since JSON has no NaN.

        Raises:
            DataError: The table has neither column, or `params` are given.
        """
        if params:
            raise DataError(f"unknown params {sorted(params)}", where="predict", todo="leave `params` out")
        if "image" not in table and "path" not in table:
            raise DataError("the table has neither a column `image` nor `path`", where="predict")
        rows, served = [self._row(row) for row in table.to_dict("records")], _is_served()
        if served:
            rows = [{name: row.get(name) for name in PHOTOGRAPH_COLUMNS} for row in rows]
        return type(table)(rows, columns=list(PHOTOGRAPH_COLUMNS), dtype=object if served else None)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        path, data = row.get("path"), row.get("image")
        if isinstance(data, bytes):
            photograph = _decoded(data)
            score = score_bytes(lambda: photograph, self._scorer.score)
        elif isinstance(path, str) and _is_served():
            score = failed("a server reads no paths: send the file's bytes as `image`")
        elif isinstance(path, str):
            score = score_bytes(lambda: read_image_file(Path(path)), self._scorer.score)
        else:
            score = failed("neither `image` nor `path` is given")
        return self._cells(score, path if isinstance(path, str) else "")

    def _cells(self, score: Score, path: str) -> dict[str, Any]:
        cells: dict[str, Any] = {
            "path": path,
            "sha256": score.sha256,
            "status": str(score.status),
            "reason": score.reason,
            "quality": score.quality,
            "camera": "",
            "bundle_id": self._scorer.bundle_id,
            "needs_human": 1.0,  # an image without a grade needs a person, as in predictions.csv
        }
        if score.acquisition is not None:
            cells |= asdict(score.acquisition)
        grading = score.grading
        if grading is not None and score.status == "scored":
            probabilities = {f"p{grade}": p for grade, p in enumerate(grading.probabilities)}
            cells |= probabilities | {
                "grade": float(grading.grade),
                "expected_grade": grading.expected_grade,
                "referable": float(grading.referable),
                "referable_probability": grading.referable_probability,
                "vision_threatening": float(grading.vision_threatening),
                "needs_human": float(grading.needs_human),
            }
        return cells


def _is_served() -> bool:
    return os.environ.get(_SERVING) == "true"


def _decoded(data: bytes) -> bytes:
    """The bytes of a file that came as base64: of `inputs` and `instances`, MLflow leaves it; no image is base64."""
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        return data


def _load_pyfunc(data_path: str) -> PyfuncGrader:
    """Loads the bundle that MLflow copied to `data_path`; raises BundleError where a byte of it was altered."""
    return PyfuncGrader(Scorer.from_bundle(Path(data_path), threads=usable_cores()))
