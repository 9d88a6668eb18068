"""Exports of a review page, checked against the table of predictions: one table of readings for `intake`."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dr_pipeline.clinic.review.make_review import batch_of
from dr_pipeline.errors import DataError
from dr_pipeline.files import atomic_write
from dr_pipeline.scoring.outputs import read_rows
from dr_pipeline.tables.predictions import PredictionRow
from dr_pipeline.tables.review_readings import REVIEW_READINGS, ReviewReadingRow, read_review_readings


def collect_readings(exports: Iterable[Path], predictions: Path) -> list[ReviewReadingRow]:
    """The readings of all exports, with the names that a page without patients left out.

    Of two readings of one photograph by one reader the later counts: an export holds what earlier ones held.

    Args:
        exports: Tables that the page exported, of one reader or several.
        predictions: The table that the page was made of.

    Returns:
        By photograph in the order of the predictions, then by reader.

    Raises:
        DataError: A table is missing or malformed, or has a reading of a photograph that is not in the predictions.
    """
    rows = list(read_rows(predictions))
    numbers = {row.image_id: number for number, row in enumerate(rows, start=1)}
    batch = batch_of(predictions)
    latest: dict[tuple[int, str], ReviewReadingRow] = {}
    for export in exports:
        for line, reading in enumerate(read_review_readings(export), start=2):
            number = numbers.get(reading.image_id) if reading.image_id else reading.number
            if number is None or not _is_of(reading, number, rows, batch):
                raise DataError(
                    "the photograph of this reading is not in the table of predictions",
                    where=f"{export}, row {line}",
                    todo="name the table that the review page was made of",
                )
            key = number, reading.grader
            if key not in latest or latest[key].read_at < reading.read_at:
                latest[key] = _named(reading, number, rows[number - 1])
    return [latest[key] for key in sorted(latest)]


def write_collected(path: Path, readings: Sequence[ReviewReadingRow]) -> None:
    """Writes the readings; only their owner may read the file, which names patients."""
    text = io.StringIO(newline="")
    write = REVIEW_READINGS.writer(text)
    for reading in readings:
        write(reading)
    with atomic_write(path, private=True) as stream:
        stream.write(text.getvalue().encode())


def _is_of(reading: ReviewReadingRow, number: int, rows: Sequence[PredictionRow], batch: str) -> bool:
    is_known = bool(reading.image_id) or reading.batch == batch
    return is_known and 1 <= number <= len(rows) and rows[number - 1].sha256 == reading.sha256


def _named(reading: ReviewReadingRow, number: int, row: PredictionRow) -> ReviewReadingRow:
    return replace(
        reading,
        number=number,
        image=row.path,
        image_id=row.image_id,
        patient=row.patient_id,
        eye=row.eye,
        visit=row.visit,
        site=row.site,
        camera=row.camera,
    )
