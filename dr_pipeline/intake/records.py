"""What an adapter returns: one record per photograph, and what did not fit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from dr_pipeline.intake.patient_ids import PatientIdFinding
from dr_pipeline.schema import Eye

MAX_LISTED = 10


class Reading(NamedTuple):
    """One grader's grade of a photograph."""

    grader: str
    grade: int


@dataclass(frozen=True)
class Record:
    """One photograph with its labels.

    Attributes:
        image_id: Unique, and safe as a file name and tar key, see `photographs.py`.
        path: Relative to the data set's root, with forward slashes.
        grade: ICDR grade 0–4; None where the data set gives none.
        patient_id: Empty where unknown.
        field: Which view of the eye, where a set has several.
        referable: Where the reference standard gives only this and no grade; else None.
        pixel_spacing_mm: On the retina, as written in the file; empty where unknown.
        official_split: train, validation or test as published by the data set's authors; empty where not published.
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
    referable: bool | None = None
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
    """The result of reading one data set.

    Attributes:
        records: The photographs that have both a file and a row.
        orphan_rows: Names in the label table without a file.
        orphan_files: Photographs, relative to the root, without a row.
        warnings: Sentences for the report.
        left_aside: Number of files that are no photographs, or no part of the data set, by their kind.
        unparsed: Paths, relative to the root, that the declared file-name pattern does not match.
        identity: Image ids with the names of the header fields that identify a person; never their values.
        patient_ids: Ids that name no person, and persons with several spellings.
    """

    records: tuple[Record, ...]
    provenance: Provenance
    orphan_rows: tuple[str, ...] = ()
    orphan_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    left_aside: Mapping[str, int] = field(default_factory=dict)
    unparsed: tuple[str, ...] = ()
    identity: tuple[tuple[str, tuple[str, ...]], ...] = ()
    patient_ids: tuple[PatientIdFinding, ...] = ()


def shortlist(names: Iterable[str]) -> str:
    """The first ten names and the total: 'a, b (2 in all)' or 'a, …, j and 7 more (17 in all)'."""
    names = list(names)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{', '.join(islice(names, MAX_LISTED))}{more} ({len(names)} in all)"
