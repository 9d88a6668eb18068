"""predictions/<bundle id>/<part>.csv in MLflow: graded photographs without ids, to compare versions of the bundle."""

from dataclasses import dataclass
from typing import Annotated

from dr_pipeline.schema import Status
from dr_pipeline.tables.table import Fixed6, GradeCell, Table, per_grade, require_probabilities

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """One photograph with the readers' grade and the decisions of one version."""

    photograph: str  # a hash of split and image id: equal in every version that graded this split, and no id
    group: str  # a hash of split and group (patients joined by duplicates); "patient:" before it where it is known
    grade: GradeCell  # the true one
    predicted: GradeCell  # validation: by a decision fitted on other photographs; test: by the deployed one
    probabilities: Annotated[tuple[float, ...], per_grade("p")]  # calibrated by the deployed decision
    referable: bool  # as `predicted`
    referable_probability: Fixed6
    status: Status

    def __post_init__(self) -> None:
        """Raises ValueError where the probabilities do not sum to 1."""
        require_probabilities(self.probabilities)


COMPARED = Table(ComparedRow, version=VERSION, todo="run `dr-pipeline track rebuild` where the version was made")
read_compared = COMPARED.read
write_compared = COMPARED.write
