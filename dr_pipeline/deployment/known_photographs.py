"""Photographs that a figure must not count, by their pixels: those a bundle was trained on, and copies."""

from collections.abc import Mapping, Sequence
from typing import Any

from dr_pipeline.bundle.metadata import PIXEL_DIGITS, known_pixels
from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.intake.records import shortlist


def seen_by(metadata: Mapping[str, Any], pixel_hashes: Sequence[str]) -> list[int]:
    """Positions of the photographs that a bundle was trained or fitted on, as far as its metadata.json states it."""
    known = known_pixels(metadata)
    return [index for index, pixel_hash in enumerate(pixel_hashes) if pixel_hash[:PIXEL_DIGITS] in known]


def first_of_equal_pixels(
    pixel_hashes: Sequence[str], names: Sequence[str], grades: Sequence[int | None], *, where: str
) -> list[int]:
    """For each photograph the position of the first with the same pixels; its own where it has none.

    Raises:
        DataError: Photographs with the same pixels have different grades.
    """
    first_of: dict[str, int] = {}
    first = [
        first_of.setdefault(pixel_hash, index) if pixel_hash else index for index, pixel_hash in enumerate(pixel_hashes)
    ]
    contradicting = [
        f"{names[one]} (grade {grades[one]}) and {names[index]} (grade {grades[index]})"
        for index, one in enumerate(first)
        if grades[index] != grades[one]
    ]
    if contradicting:
        raise DataError(
            f"the same photograph with different grades: {shortlist(map(printable, contradicting))}",
            where=where,
            todo="correct the table, or remove these rows",
        )
    return first
