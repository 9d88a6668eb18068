"""Rows of predictions.csv, one per scored file."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count

from dr_pipeline.files import printable, sha256_bytes, spreadsheet_safe
from dr_pipeline.schema import Status
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.tables.predictions import PredictionRow

_ID_LENGTH = 120


def make_row(entry: Entry, score: Score, *, image_id: str, duplicate_of: str, bundle_id: str) -> PredictionRow:
    """One row of predictions.csv.

    Grade and probabilities stand only in a row with status `scored`; any other row needs a human. Cells that a
    spreadsheet would run as a formula get an apostrophe in front; bytes of a name that are not UTF-8 are written as
    a backslash, x and two hexadecimal digits.
    """
    grading = score.grading if score.status is Status.SCORED else None
    return PredictionRow(
        image_id=image_id,
        path=text_cell(entry.relative),
        sha256=score.sha256,
        status=score.status,
        reason=spreadsheet_safe(" ".join(printable(score.reason).split())),
        duplicate_of=duplicate_of,
        patient_id=text_cell(score.person.patient_id),
        eye=score.person.eye,
        visit=text_cell(score.person.visit),
        birth_date_hash=score.person.birth_date_hash,
        site=text_cell(score.person.site),
        quality=score.quality,
        bundle_id=bundle_id,
        # The fields of both have the columns' names.
        **(asdict(grading) if grading else {}),
        **(asdict(score.acquisition) if score.acquisition else {}),
    )


def text_cell(text: str) -> str:
    """Text from outside, as a table holds it: printable, and no formula."""
    return spreadsheet_safe(printable(text))


def image_ids(relative: str) -> Iterator[str]:
    """Ids for the file at this path, the best first, without end: the first that no earlier row has is taken.

    Letters, digits, dot, dash and underscore of the path without its ending; with more and more digits of its hash
    where paths agree in these; with a number where the same path comes again.
    """
    stem = re.sub(r"\.[^./]*$", "", printable(relative))
    plain = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:_ID_LENGTH] or "file"
    yield plain
    digest = sha256_bytes(relative.encode("utf-8", "surrogateescape"))
    for digits in range(8, len(digest) + 1, 8):
        yield f"{plain}-{digest[:digits]}"
    for number in count(2):
        yield f"{plain}-{digest}-{number}"
