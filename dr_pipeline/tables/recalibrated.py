"""The labelled photographs of a recalibration: which were used, and their grades before and after."""

from dataclasses import dataclass

from dr_pipeline.schema import Status
from dr_pipeline.tables.table import GradeCell, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalibratedRow:
    """One labelled photograph; without `before` and `after` it was not used, for the reason given."""

    path: str
    status: Status
    reason: str = ""
    grade: GradeCell  # by the site's readers
    before: GradeCell | None = None  # by the parent's decision
    after: GradeCell | None = None  # by a decision fitted on the other four fifths of the patients


RECALIBRATED = Table(RecalibratedRow, version=VERSION, todo="run `dr-pipeline recalibrate`, which writes it again")
read_recalibrated = RECALIBRATED.read
write_recalibrated = RECALIBRATED.write
