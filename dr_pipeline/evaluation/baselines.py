"""Baselines without a model, on the same photographs: the minimum that a grader must exceed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.feature_baselines import feature_sets, fit_and_grade
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.metrics.bootstrap import bootstrap_weights, paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.curves import weighted_roc_auc
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.metrics.paired_tests import delong
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import REFERABLE_FROM, Eye
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.splits import SplitRow


def baselines(
    true: NDArray[np.int64],
    groups: Sequence[str],
    examinations: Sequence[str],
    majority_grade: int,
    params: Evaluation,
    *,
    grade: NDArray[np.int64],
    eyes: Sequence[str] = (),
) -> dict[str, Any]:
    """The majority grade for all photographs; and the grade of the patient's other eye.

    Args:
        true: Grades, shape (N,).
        groups: The unit of resampling, N names.
        examinations: The patient, at one visit, of each photograph; empty: unknown.
        majority_grade: The commonest grade of the development part.
        params: Confidence, bootstrap replicates and their seed.
        grade: By the model, shape (N,).
        eyes: "left" or "right" for each photograph, empty: unknown; none at all: unknown for all.

    Returns:
        Figures. The second baseline is over photographs whose fellow eye is known, undefined where there are none;
        `paired_by_eye` of them by their eyes, `paired_by_two_photographs` as the only two of a patient whose eyes are
        not known, which may show one eye twice. `model_minus_baseline` is the paired difference of QWK on the same
        photographs.
    """
    fellow, by_eye = _fellow_grades(true, examinations, eyes or [""] * len(true))
    rows, drawn = np.flatnonzero(fellow >= 0), resampling(params)
    row_groups = [groups[row] for row in rows.tolist()]
    constant = np.full(len(true), majority_grade)
    return {
        "majority_grade": {
            "grade": majority_grade,
            "accuracy": clustered_proportion(true == majority_grade, groups, params.confidence).to_dict(),
            "qwk": qwk_estimate(true, constant, groups, **drawn).to_dict(),
            "model_minus_baseline": paired_qwk_difference(true, grade, constant, groups, **drawn).to_dict(),
        },
        "other_photograph_of_patient": {
            "qwk": qwk_estimate(true[rows], fellow[rows], row_groups, **drawn).to_dict(),
            "model_minus_baseline": paired_qwk_difference(
                true[rows], grade[rows], fellow[rows], row_groups, **drawn
            ).to_dict(),
            "paired_by_eye": by_eye,
            "paired_by_two_photographs": len(rows) - by_eye,
        },
    }


def majority_grade(grades: Sequence[int]) -> int:
    """The commonest grade, the lowest of equally common ones."""
    counts = Counter(grades)
    return min(counts, key=lambda grade: (-counts[grade], grade))


def feature_baselines(
    development: Sequence[SplitRow],
    test: Sequence[SplitRow],
    index: Mapping[str, CanvasRow],
    decided: Decided,
    params: Evaluation,
) -> dict[str, Any]:
    """Logistic regressions that never see the retina, fitted on the development part, beside the model.

    Args:
        development: The photographs of the development part.
        test: N photographs of the test part.
        index: The canvases' index by image id.
        decided: By the model, of N photographs.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        For `geometry`, `camera` and `small_features` (of the photograph's appearance) `qwk`, `referable_auc`,
        `model_minus_baseline` of QWK, paired, `auc_model_minus_baseline` by DeLong's test, and `fitted_on`, the number
        of photographs; only a note where all photographs have the same features.
    """
    true = np.array([row.grade for row in test], dtype=np.int64)
    fitted_on = np.array([row.grade for row in development], dtype=np.int64)
    groups, drawn, referable = [row.group for row in test], resampling(params), true >= REFERABLE_FROM
    sets, sets_test = feature_sets(development, index), feature_sets(test, index)
    table: dict[str, Any] = {}
    for name, features in sets.items():
        graded = fit_and_grade(features, fitted_on, [row.group for row in development], sets_test[name])
        if graded is None:
            table[name] = {"note": "undefined: one value or one grade in the development part"}
            continue
        found, expected = graded
        table[name] = {
            "qwk": qwk_estimate(true, found, groups, **drawn).to_dict(),
            "referable_auc": bootstrap_weights(
                lambda weights, score=expected: weighted_roc_auc(score, referable, weights),  # type: ignore[misc]
                groups,
                **drawn,
            ).to_dict(),
            "model_minus_baseline": paired_qwk_difference(true, decided.grade, found, groups, **drawn).to_dict(),
            "auc_model_minus_baseline": delong(
                decided.referable_probability, expected, referable, groups, params.confidence
            ).to_dict(),
            "fitted_on": len(development),
        }
    return table


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
