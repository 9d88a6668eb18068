"""readings-….csv: what the review page exports, one row per photograph and reader.

`intake` reads it as a label table: its columns `image`, `grade`, `grader`, `patient`, `eye`, `visit`, `site`,
`camera` and `ungradable` (1 or 0) are those of `dataset.folder.columns`; it ignores the others.
"""

from dataclasses import dataclass

from dr_pipeline.schema import Eye
from dr_pipeline.tables.table import GradeCell, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewReadingRow:
    """One reader's reading of one photograph; without a grade where it is ungradable or has a comment only.

    Attributes:
        image: Path below the photographs' source, as in the predictions; empty, as `image_id`, `patient`, `visit` and
            `site`, in the export of a page that was made without names.
        number: Of the photograph's row in the table of predictions, from 1.
        predicted_grade: The program's; None where there is none.
        masked: Whether the program's result was hidden from the reader when the grade was given.
        read_at: UTC, ISO 8601.
        batch: Of the page.
    """

    image: str
    grade: GradeCell | None
    grader: str
    patient: str
    eye: Eye
    visit: str
    site: str
    camera: str
    ungradable: bool
    comment: str
    number: int
    image_id: str
    sha256: str
    predicted_grade: GradeCell | None
    masked: bool
    read_at: str
    batch: str

    def __post_init__(self) -> None:
        """Checks what no cell shows alone."""
        if not self.grader:
            raise ValueError("the reading has no reader")
        if self.ungradable and self.grade is not None:
            raise ValueError("the photograph is ungradable and has a grade")


REVIEW_READINGS = Table(ReviewReadingRow, version=VERSION, todo="export the readings again from the review page")
read_review_readings = REVIEW_READINGS.read
write_review_readings = REVIEW_READINGS.write
