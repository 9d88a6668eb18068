"""Finds whose photograph an input is, from what the user declares: a table, a pattern of paths, DICOM headers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dr_pipeline.files import sha256_bytes, sha256_file
from dr_pipeline.intake.patient_spelling import plain_text
from dr_pipeline.intake.placeholder_ids import is_placeholder
from dr_pipeline.schema import Eye
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.path_pattern import PathPattern
from dr_pipeline.scoring.sources.people_table import PeopleTable
from dr_pipeline.scoring.sources.person import Person


@dataclass(frozen=True)
class PeopleSources:
    """Where patient, eye, visit and site come from; by default from nowhere.

    Attributes:
        table: A CSV, see `PeopleTable`.
        pattern: Of paths, see `PathPattern`; empty: none.
        dicom_salt: Of the pseudonyms of DICOM headers; empty: headers are not asked.
    """

    table: Path | None = None
    pattern: str = ""
    dicom_salt: str = ""

    def __bool__(self) -> bool:
        return bool(self.table or self.pattern or self.dicom_salt)

    def settings(self) -> dict[str, Any]:
        """What the rows depend on; of the salt a hash.

        Raises:
            DataError: The table is missing.
        """
        return {
            "people": sha256_file(self.table) if self.table and self.table.is_file() else "",
            "pattern": self.pattern,
            "dicom_people": sha256_bytes(self.dicom_salt.encode())[:8] if self.dicom_salt else "",
        }


class People:
    """The declared sources, opened.

    Args:
        sources: What is declared.

    Raises:
        DataError: The table is missing or wrong.
        ParamsError: The pattern is wrong.
    """

    def __init__(self, sources: PeopleSources) -> None:
        self._table = PeopleTable(sources.table) if sources.table else None
        self._pattern = PathPattern(sources.pattern) if sources.pattern else None

    def counted(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Passes a listing through, for `require_unambiguous`."""
        for entry in entries:
            if self._table and not entry.left_out:
                self._table.count(entry.relative)
            yield entry

    def require_unambiguous(self) -> None:
        """Raises DataError where a file name in the table fits several files of the listing."""
        if self._table:
            self._table.require_unambiguous()

    def complete(self, results: Iterable[tuple[Entry, Score]]) -> Iterator[tuple[Entry, Score]]:
        """Adds to each score whose photograph it is: by the table, then the pattern, then the header."""
        for entry, score in results:
            yield entry, replace(score, person=self.person(entry.relative, score.person))

    def person(self, relative: str, in_header: Person) -> Person:
        """What is known of the file at a path. Where two sources give different eyes, the eye is unknown."""
        sources = [source.person(relative) for source in (self._table, self._pattern) if source]
        people = [*sources, in_header]
        eyes = {person.eye for person in people} - {Eye.UNKNOWN}
        patient_id = _first(person.patient_id for person in people)
        is_of_header = patient_id == in_header.patient_id  # else the hash is that of another id
        return Person(
            patient_id="" if patient_id and is_placeholder(plain_text(patient_id)) else patient_id,
            eye=eyes.pop() if len(eyes) == 1 else Eye.UNKNOWN,
            visit=_first(person.visit for person in people),
            site=_first(person.site for person in people),
            birth_date_hash=in_header.birth_date_hash if is_of_header else "",
        )


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")
