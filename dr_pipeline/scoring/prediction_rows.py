"""Rows of predictions.csv, one per scored file."""

import re
from typing import Any

from dr_pipeline.files import printable, sha256_bytes, spreadsheet_safe
from dr_pipeline.schema import PREDICTIONS_VERSION, Status
from dr_pipeline.scoring.scorer import Score
from dr_pipeline.scoring.walk import Entry

_ID_LENGTH = 120


class PredictionRows:
    """Builds rows in input order; keeps the ids and pixel hashes of earlier rows.

    Args:
        bundle_id: Written into every row.
    """

    def __init__(self, bundle_id: str) -> None:
        self._bundle_id = bundle_id
        self._ids: set[str] = set()
        self._first_with_pixels: dict[bytes, str] = {}

    def row(self, entry: Entry, score: Score) -> dict[str, Any]:
        """One row of `schema.PREDICTIONS_COLUMNS`.

        Grade and probabilities stand only in a row with status `scored`; any other row asks for a human. Cells that a
        spreadsheet would run as a formula get an apostrophe in front; bytes of a name that are not UTF-8 are written as
        a backslash, x and two hexadecimal digits.
        """
        image_id = self._unique_id(entry.relative)
        cells: dict[str, Any] = {
            "schema_version": PREDICTIONS_VERSION,
            "image_id": image_id,
            "path": spreadsheet_safe(printable(entry.relative)),
            "sha256": score.sha256,
            "status": score.status.value,
            "reason": spreadsheet_safe(" ".join(printable(score.reason).split())),
            "duplicate_of": self._duplicate_of(image_id, score.pixel_sha256),
            "patient_id": "",
            "eye": "",
            "needs_human": 1,
            "quality": "" if score.quality is None else f"{score.quality:.4f}",
            "bundle_id": self._bundle_id,
        }
        return cells | _grading_cells(score)

    def _unique_id(self, relative: str) -> str:
        """Letters, digits, dot, dash and underscore of the path without its ending; a hash where two paths agree."""
        stem = re.sub(r"\.[^./]*$", "", printable(relative))
        plain = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:_ID_LENGTH] or "file"
        image_id, digits = plain, 8
        while image_id in self._ids:
            image_id = f"{plain}-{sha256_bytes(relative.encode('utf-8', 'surrogateescape'))[:digits]}"
            digits += 8
        self._ids.add(image_id)
        return image_id

    def _duplicate_of(self, image_id: str, pixel_sha256: str) -> str:
        if not pixel_sha256:
            return ""
        first = self._first_with_pixels.setdefault(bytes.fromhex(pixel_sha256), image_id)
        return "" if first == image_id else first


def _grading_cells(score: Score) -> dict[str, Any]:
    if score.status is not Status.SCORED or score.grading is None:
        empty = ("grade", "p0", "p1", "p2", "p3", "p4", "expected_grade", "referable", "referable_probability")
        return dict.fromkeys((*empty, "vision_threatening"), "")
    grading = score.grading
    return {
        "grade": grading.grade,
        **{f"p{grade}": f"{probability:.6f}" for grade, probability in enumerate(grading.probabilities)},
        "expected_grade": f"{grading.expected_grade:.4f}",
        "referable": int(grading.referable),
        "referable_probability": f"{grading.referable_probability:.6f}",
        "vision_threatening": int(grading.vision_threatening),
        "needs_human": int(grading.needs_human),
    }
