"""Baselines without a model, on the same photographs: the minimum that a grader must exceed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.metrics.bootstrap import qwk_estimate
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import Eye


def baselines(
    true: NDArray[np.int64],
    groups: Sequence[str],
    examinations: Sequence[str],
    majority_grade: int,
    params: Evaluation,
    eyes: Sequence[str] = (),
) -> dict[str, Any]:
    """The majority grade for all photographs; and the grade of the patient's other eye.

    Args:
        true: Grades, shape (N,).
        groups: The unit of resampling, N names.
        examinations: The patient, at one visit, of each photograph; empty: unknown.
        majority_grade: The commonest grade of the development part.
        params: Confidence, bootstrap replicates and their seed.
        eyes: "left" or "right" for each photograph, empty: unknown; none at all: unknown for all.

    Returns:
        Figures. The second baseline is over photographs whose fellow eye is known, undefined where there are none;
        `paired_by_eye` of them by their eyes, `paired_by_two_photographs` as the only two of a patient whose eyes are
        not known, which may show one eye twice.
    """
    fellow, by_eye = _fellow_grades(true, examinations, eyes or [""] * len(true))
    rows = np.flatnonzero(fellow >= 0)
    row_groups = [groups[row] for row in rows.tolist()]
    constant = np.full(len(true), majority_grade)
    return {
        "majority_grade": {
            "grade": majority_grade,
            "accuracy": clustered_proportion(true == majority_grade, groups, params.confidence).to_dict(),
            "qwk": qwk_estimate(true, constant, groups, **resampling(params)).to_dict(),
        },
        "other_photograph_of_patient": {
            "qwk": qwk_estimate(true[rows], fellow[rows], row_groups, **resampling(params)).to_dict(),
            "paired_by_eye": by_eye,
            "paired_by_two_photographs": len(rows) - by_eye,
        },
    }


def _fellow_grades(
    true: NDArray[np.int64], examinations: Sequence[str], eyes: Sequence[str]
) -> tuple[NDArray[np.int64], int]:
    """The fellow eye's grade for each photograph, -1 where there is none, and how many are known by their eyes.

    An eye's grade is the worst of its photographs.
    """
    members: dict[str, list[int]] = {}
    for row, examination in enumerate(examinations):
        if examination:
            members.setdefault(examination, []).append(row)
    fellow, by_eye = np.full(len(true), -1, dtype=np.int64), 0
    for rows in members.values():
        sides = {side: [row for row in rows if eyes[row] == side] for side in (Eye.LEFT, Eye.RIGHT)}
        if sides[Eye.LEFT] and sides[Eye.RIGHT]:
            fellow[sides[Eye.LEFT]] = true[sides[Eye.RIGHT]].max()
            fellow[sides[Eye.RIGHT]] = true[sides[Eye.LEFT]].max()
            by_eye += len(sides[Eye.LEFT]) + len(sides[Eye.RIGHT])
        elif len(rows) == 2 and not any(eyes[row] for row in rows):
            fellow[rows] = true[rows[::-1]]
    return fellow, by_eye
