"""How often photographs would get no grade, by grade and by site.

In EyeQ 54.5 % of grade 4 are "Reject" and 16.7–19.3 % of grade 0 (Fu et al., MICCAI 2019): a set that is cleaned by
quality alone loses the most severe cases.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion
from dr_pipeline.schema import GRADES, VISION_THREATENING_FROM, Grade, Status

REJECTED = (Status.UNGRADABLE, Status.NOT_FUNDUS, Status.FAILED)
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rejection:
    """How many of some photographs would get no grade.

    Attributes:
        numbers: By status.
        share: Of all three statuses, with Wilson's interval at the effective number of patients.
    """

    numbers: Mapping[str, int]
    share: Estimate

    def to_dict(self) -> dict[str, Any]:
        """As reports/audit.json holds it: n, the numbers by status, share, low and high (null where undefined)."""
        return {
            "n": self.share.n,
            **self.numbers,
            "share": round(self.share.value, 4) if self.share.n else 0.0,
            "low": _rounded(self.share.low),
            "high": _rounded(self.share.high),
        }


def rejection_by_grade(inputs: AuditInputs) -> dict[str, Rejection]:
    """By grade, absent ones too; photographs without a grade are left out."""
    members: dict[str, list[str]] = {str(grade): [] for grade in GRADES}
    for image_id, row in inputs.rows.items():
        if row.grade is not None:
            members[str(row.grade)].append(image_id)
    return {grade: _rejection(inputs, image_ids) for grade, image_ids in members.items()}


def rejection_by_site(inputs: AuditInputs) -> dict[str, Rejection]:
    """By site, sorted; photographs of an unknown site have the empty name."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, row in inputs.rows.items():
        members[row.site].append(image_id)
    return {site: _rejection(inputs, members[site]) for site in sorted(members)}


def severe_rejected_more(inputs: AuditInputs) -> str:
    """A warning where severe and proliferative eyes are rejected more often than healthy ones; else nothing.

    The interval of the difference is Newcombe's hybrid score interval (method 10, Statistics in Medicine 1998;17:873)
    from the two shares' own intervals.
    """
    grades = {image_id: row.grade for image_id, row in inputs.rows.items() if row.grade is not None}
    severe = _rejection(inputs, [name for name, grade in grades.items() if grade >= VISION_THREATENING_FROM]).share
    healthy = _rejection(inputs, [name for name, grade in grades.items() if grade == Grade.NO_DR]).share
    if not severe.n or not healthy.n:
        return ""
    difference = severe.value - healthy.value
    low = difference - math.hypot(severe.value - severe.low, healthy.high - healthy.value)
    if low <= 0:
        return ""
    return (
        "severe and proliferative eyes are rejected more often than healthy ones: "
        f"{100 * severe.value:.1f} % of {severe.n} against {100 * healthy.value:.1f} % of {healthy.n} "
        f"(difference at least {100 * low:.1f} points at 95 %)"
    )


def _rejection(inputs: AuditInputs, image_ids: Sequence[str]) -> Rejection:
    statuses = [inputs.status(image_id) for image_id in image_ids]
    hits = np.array([status in REJECTED for status in statuses], dtype=bool)
    patients = [inputs.rows[image_id].patient_id or f"photograph:{image_id}" for image_id in image_ids]
    numbers = {str(status): statuses.count(status) for status in REJECTED}
    return Rejection(numbers, clustered_proportion(hits, patients, _CONFIDENCE))


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
