"""What needs no model, on the same photographs: the least a grader must beat."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.evaluation.figures import resampling
from dr_pipeline.metrics.bootstrap import qwk_estimate
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.params.evaluation import Evaluation


def baselines(
    true: NDArray[np.int64],
    groups: Sequence[str],
    patients: Sequence[str],
    majority_grade: int,
    params: Evaluation,
) -> dict[str, Any]:
    """Always the commonest grade; and the grade of the patient's other photograph.

    Args:
        true: Grades, shape (N,).
        groups: What stays together, N names.
        patients: The patient of each photograph; empty: unknown.
        majority_grade: The commonest grade of the development part.
        params: Confidence, resamplings and their seed.

    Returns:
        Figures. The second baseline is over patients with exactly two photographs, undefined where there are none.
    """
    members: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        members.setdefault(patient, []).append(row)
    pairs = [rows for patient, rows in members.items() if patient and len(rows) == 2]
    eyes = np.array([row for pair in pairs for row in pair], dtype=np.int64)
    fellows = np.array([row for pair in pairs for row in reversed(pair)], dtype=np.int64)
    eye_groups = [groups[row] for row in eyes]
    constant = np.full(len(true), majority_grade)
    return {
        "majority_grade": {
            "grade": majority_grade,
            "accuracy": clustered_proportion(true == majority_grade, groups, params.confidence).to_dict(),
            "qwk": qwk_estimate(true, constant, groups, **resampling(params)).to_dict(),
        },
        "other_photograph_of_patient": {
            "qwk": qwk_estimate(true[eyes], true[fellows], eye_groups, **resampling(params)).to_dict()
        },
    }
