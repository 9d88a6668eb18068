"""Rows of predictions.csv, one per scored file."""

import re
from dataclasses import asdict

from dr_pipeline.files import printable, sha256_bytes, spreadsheet_safe
from dr_pipeline.schema import Status
from dr_pipeline.scoring.scorer import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.tables.predictions import PredictionRow

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

    def row(self, entry: Entry, score: Score) -> PredictionRow:
        """One row of predictions.csv.

        Grade and probabilities stand only in a row with status `scored`; any other row needs a human. Cells that a
        spreadsheet would run as a formula get an apostrophe in front; bytes of a name that are not UTF-8 are written as
        a backslash, x and two hexadecimal digits.
        """
        image_id = self._unique_id(entry.relative)
        grading = score.grading if score.status is Status.SCORED else None
        return PredictionRow(
            image_id=image_id,
            path=spreadsheet_safe(printable(entry.relative)),
            sha256=score.sha256,
            status=score.status,
            reason=spreadsheet_safe(" ".join(printable(score.reason).split())),
            duplicate_of=self._duplicate_of(image_id, score.pixel_hash),
            quality=score.quality,
            bundle_id=self._bundle_id,
            **(asdict(grading) if grading else {}),  # the fields have the columns' names
        )

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

    def _duplicate_of(self, image_id: str, pixel_hash: str) -> str:
        if not pixel_hash:
            return ""
        first = self._first_with_pixels.setdefault(bytes.fromhex(pixel_hash), image_id)
        return "" if first == image_id else first
