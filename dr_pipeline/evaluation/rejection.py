"""Rejection rates by grade and site: whether the quality gate rejects severe grades more often."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.schema import GRADES, Status
from dr_pipeline.tables.gradability import GradabilityRow
from dr_pipeline.tables.splits import SplitRow


def is_rejected(statuses: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each photograph would get no grade, shape (N,)."""
    return np.array([status != Status.SCORED for status in statuses], dtype=np.bool_)


def rejection_by_grade(
    true: NDArray[np.int64], statuses: Sequence[str], groups: Sequence[str], confidence: float
) -> dict[str, dict[str, Any]]:
    """The rejection rate of each grade's photographs, with its interval and n.

    Args:
        true: Grades by the readers, shape (N,).
        statuses: Of the N photographs.
        groups: The patient, or whatever stays together, of each; N names.
        confidence: Such as 0.95.
    """
    rejected = is_rejected(statuses)
    shares = {}
    for grade in GRADES:
        rows = np.flatnonzero(true == grade)
        rate = clustered_proportion(rejected[rows], [groups[row] for row in rows.tolist()], confidence)
        shares[str(grade)] = rate.to_dict() | {"rejected": int(rejected[rows].sum())}
    return shares


def rejection_report(
    splits: Sequence[SplitRow], statuses: Mapping[str, GradabilityRow], confidence: float
) -> dict[str, Any]:
    """The rejection rate in each part: of all, by grade, by site, and the reasons.

    Args:
        splits: The rows of data/splits.csv.
        statuses: Rows of data/gradability.csv by image id.
        confidence: Such as 0.95.
    """
    report = {}
    for part in dict.fromkeys(row.split for row in splits):
        rows = [row for row in splits if row.split == part]
        rejected = [statuses[row.image_id] for row in rows if statuses[row.image_id].status is not Status.SCORED]
        reasons = Counter(code for row in rejected for code in row.reason.split(";"))
        report[str(part)] = {
            "all": _share(rows, statuses, confidence),
            "by_grade": {
                str(grade): _share([row for row in rows if row.grade == grade], statuses, confidence)
                for grade in GRADES
            },
            # A list, because DVC names the metrics of this file after its keys; a clinic's name is not a metric.
            "by_site": [
                {"site": site} | _share([row for row in rows if row.site == site], statuses, confidence)
                for site in sorted({row.site for row in rows if row.site})
            ],
            "reasons": dict(sorted(reasons.items())),
        }
    return report


def _share(rows: Sequence[SplitRow], statuses: Mapping[str, GradabilityRow], confidence: float) -> dict[str, Any]:
    rejected = is_rejected([statuses[row.image_id].status for row in rows])
    rate = clustered_proportion(rejected, [row.group for row in rows], confidence)
    return rate.to_dict() | {"rejected": int(rejected.sum())}
