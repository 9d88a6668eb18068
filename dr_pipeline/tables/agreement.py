"""OUT.agreement.csv: what champion and challenger say of each file, side by side."""

from dataclasses import dataclass

from dr_pipeline.schema import Status
from dr_pipeline.tables.table import Fixed4, Fixed6, GradeCell, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRow:
    """One file; the cells of a version that gave no grade are empty."""

    image_id: str
    path: str
    sha256: str
    champion_status: Status
    challenger_status: Status | None  # None: the file was changed or removed before the challenger came to it
    champion_grade: GradeCell | None = None
    challenger_grade: GradeCell | None = None
    champion_expected_grade: Fixed4 | None = None
    challenger_expected_grade: Fixed4 | None = None
    champion_referable: bool | None = None
    challenger_referable: bool | None = None
    champion_referable_probability: Fixed6 | None = None
    challenger_referable_probability: Fixed6 | None = None
    champion_needs_human: bool
    challenger_needs_human: bool | None = None
    champion_bundle_id: str
    challenger_bundle_id: str


AGREEMENT = Table(AgreementRow, version=VERSION, todo="run `dr-pipeline score --shadow` again")
read_agreement = AGREEMENT.read
write_agreement = AGREEMENT.write
