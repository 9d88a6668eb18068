"""data/readings.csv: the grades of photographs that several graders read."""

from dataclasses import dataclass

from dr_pipeline.tables.table import GradeCell, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRow:
    """One grader's grade of one photograph."""

    image_id: str
    grader: str
    grade: GradeCell


READINGS = Table(ReadingRow, version=VERSION, todo="run `dvc repro intake`, which writes it again")
read_readings = READINGS.read
write_readings = READINGS.write
