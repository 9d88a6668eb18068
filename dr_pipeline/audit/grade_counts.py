"""How many photographs each grade has, and which grades have too few to learn or to measure."""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from dr_pipeline.audit.findings import GRADES_MISSING, Finding
from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.schema import GRADE_NAMES, GRADES


@dataclass(frozen=True)
class GradeCounts:
    """Photographs by grade.

    Attributes:
        every: Of all photographs, by grade.
        used: Of those that are not left out.
        ungraded: Photographs without a grade.
    """

    every: tuple[int, ...]
    used: tuple[int, ...]
    ungraded: int

    def to_dict(self) -> dict[str, Any]:
        """As `grades` of reports/audit.json."""
        return {
            "counts": {str(grade): self.every[grade] for grade in GRADES},
            "used": {str(grade): self.used[grade] for grade in GRADES},
            "absent": [grade for grade in GRADES if not self.every[grade]],
            "ungraded": self.ungraded,
        }


def count_grades(evidence: Evidence, excluded: Container[str]) -> GradeCounts:
    """Counts all photographs, and those that are not left out."""
    every = Counter(row["grade"] for row in evidence.rows.values())
    used = Counter(row["grade"] for image_id, row in evidence.rows.items() if image_id not in excluded)
    return GradeCounts(
        every=tuple(every[str(grade)] for grade in GRADES),
        used=tuple(used[str(grade)] for grade in GRADES),
        ungraded=every[""],
    )


def grade_findings(counts: GradeCounts, min_photographs: int) -> list[Finding]:
    """One finding per grade of which fewer than `min_photographs` are left."""
    found = []
    for grade in GRADES:
        used = counts.used[grade]
        if used < min_photographs:
            detail = {"grade": grade, "name": GRADE_NAMES[grade], "photographs": counts.every[grade], "used": used}
            found.append(Finding(GRADES_MISSING, (), detail))
    return found
