"""How often photographs would get no grade, by grade and by site: a gate that drops the sickest eyes must show.

In EyeQ 54.5 % of grade 4 are "Reject" and 16.7–19.3 % of grade 0 (Fu et al., MICCAI 2019): a set that is cleaned by
quality alone loses the eyes it is there for.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dr_pipeline.audit.inputs import Evidence
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


def rejection_by_grade(evidence: Evidence) -> dict[str, Rejection]:
    """By grade, absent ones too; photographs without a grade are left out."""
    members: dict[str, list[str]] = {str(grade): [] for grade in GRADES}
    for image_id, row in evidence.rows.items():
        if row["grade"]:
            members[row["grade"]].append(image_id)
    return {grade: _rejection(evidence, image_ids) for grade, image_ids in members.items()}


def rejection_by_site(evidence: Evidence) -> dict[str, Rejection]:
    """By site, sorted; photographs of an unknown site stand under the empty name."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, row in evidence.rows.items():
        members[row["site"]].append(image_id)
    return {site: _rejection(evidence, members[site]) for site in sorted(members)}


def sickest_rejected(evidence: Evidence) -> str:
    """A warning where severe and proliferative eyes are rejected more often than healthy ones; else nothing.

    The interval of the difference is Newcombe's hybrid score interval (method 10, Statistics in Medicine 1998;17:873)
    from the two shares' own intervals.
    """
    grades = {image_id: row["grade"] for image_id, row in evidence.rows.items() if row["grade"]}
    sick = _rejection(evidence, [name for name, grade in grades.items() if int(grade) >= VISION_THREATENING_FROM]).share
    well = _rejection(evidence, [name for name, grade in grades.items() if int(grade) == Grade.NO_DR]).share
    if not sick.n or not well.n:
        return ""
    difference = sick.value - well.value
    low = difference - math.hypot(sick.value - sick.low, well.high - well.value)
    if low <= 0:
        return ""
    return (
        f"severe and proliferative eyes are rejected more often than healthy ones: {100 * sick.value:.1f} % of {sick.n}"
        f" against {100 * well.value:.1f} % of {well.n} (difference at least {100 * low:.1f} points at 95 %)"
    )


def _rejection(evidence: Evidence, image_ids: Sequence[str]) -> Rejection:
    statuses = [evidence.status(image_id) for image_id in image_ids]
    hits = np.array([status in REJECTED for status in statuses], dtype=bool)
    patients = [evidence.rows[image_id]["patient_id"] or f"photograph:{image_id}" for image_id in image_ids]
    numbers = {str(status): statuses.count(status) for status in REJECTED}
    return Rejection(numbers, clustered_proportion(hits, patients, _CONFIDENCE))


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
