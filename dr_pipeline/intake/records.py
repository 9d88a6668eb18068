"""What an adapter hands over: one record per photograph, and everything that did not fit."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from dr_pipeline.schema import Eye

MAX_LISTED = 10


class Reading(NamedTuple):
    """One grader's grade of a photograph."""

    grader: str
    grade: int


@dataclass(frozen=True)
class Record:
    """One photograph with what the data set says about it.

    Attributes:
        image_id: Unique and safe as a file name and tar key, see `image_ids.py`.
        path: Relative to the data set's root, with forward slashes.
        grade: ICDR grade 0–4; None where the data set gives none.
        patient_id: Empty where the data set does not tell.
        field: Which view of the eye, where a set has several.
        referable: 0 or 1 where the reference standard says only this and no grade; else None.
        pixel_spacing_mm: On the retina, as the file writes it; empty where it does not.
        official_split: train, validation or test as the data set's authors divided it; empty where they did not.
        readings: The graders' grades where there are at least two; `grade` is their median.
    """

    image_id: str
    path: str
    grade: int | None
    patient_id: str = ""
    eye: Eye = Eye.UNKNOWN
    visit: str = ""
    field: str = ""
    grader: str = ""
    site: str = ""
    camera: str = ""
    referable: int | None = None
    pixel_spacing_mm: str = ""
    official_split: str = ""
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """Where a data set comes from, for the report and the model card."""

    name: str
    licence: str
    citation: str


@dataclass(frozen=True)
class Intake:
    """The result of reading one data set's layout.

    Attributes:
        records: The photographs that have both a file and a row.
        orphan_rows: Names in the label table without a file.
        orphan_files: Photographs, relative to the root, without a row.
        warnings: Sentences for the report.
        hidden_files: Number of files left aside because their names begin with a dot.
        other_files: Number of files that are no photographs by their suffix.
        unparsed: Paths, relative to the root, that the declared file-name pattern does not fit.
        identity: Image ids with the names of the header fields that hold a person's identity; never their values.
    """

    records: tuple[Record, ...]
    provenance: Provenance
    orphan_rows: tuple[str, ...] = ()
    orphan_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default_factory=tuple)
    hidden_files: int = 0
    other_files: int = 0
    unparsed: tuple[str, ...] = ()
    identity: tuple[tuple[str, tuple[str, ...]], ...] = ()


def listed(offenders: Iterable[str]) -> str:
    """The first ten offenders and the total: 'a, b (2 in all)' or 'a, …, j and 7 more (17 in all)'."""
    every = list(offenders)
    text = ", ".join(islice(every, MAX_LISTED))
    more = f" and {len(every) - MAX_LISTED} more" if len(every) > MAX_LISTED else ""
    return f"{text}{more} ({len(every)} in all)"
