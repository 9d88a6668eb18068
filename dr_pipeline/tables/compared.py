"""predictions/<bundle id>/<part>.csv in MLflow: graded photographs without ids, to compare versions of the bundle."""

from dataclasses import dataclass

from dr_pipeline.tables.table import GradeCell, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """One photograph with the readers' grade and the decisions of one version."""

    photograph: str  # a hash of split and image id: equal in every version that graded this split, and no id
    group: str  # a hash of split and group (patients joined by duplicates)
    grade: GradeCell  # the true one
    predicted: GradeCell  # validation: by a decision fitted on other photographs; test: by the deployed one
    referable: bool  # as `predicted`


COMPARED = Table(ComparedRow, version=VERSION, todo="run `dr-pipeline track rebuild` where the version was made")
read_compared = COMPARED.read
write_compared = COMPARED.write
