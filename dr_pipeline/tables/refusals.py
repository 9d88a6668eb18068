"""refusals.csv: what a DICOM node did not take, and why; one row per sender and reason."""

from dataclasses import dataclass

from dr_pipeline.tables.table import Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRow:
    """Requests of one sender that were refused for one reason.

    Attributes:
        sender: The calling AE title, as it was sent.
        reason: In plain words, without anything of a patient.
        number: Of requests.
        first: Date and time of the first, ISO 8601.
        last: Date and time of the last.
    """

    sender: str
    reason: str
    number: int
    first: str
    last: str


REFUSALS = Table(RefusalRow, version=VERSION, todo="start `dr-pipeline listen`, which writes it again")
read_refusals = REFUSALS.read
