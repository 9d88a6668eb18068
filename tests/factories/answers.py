"""A grader's answers, drawn around the readers' grades."""

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.schema import Status
from dr_pipeline.tables.graded import GradedRow

DECISION = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.5, 0.1, {"split": "validation", "splits_sha256": "ab" * 32})


def graded_table(
    grades: NDArray[np.int64], groups: list[str], *, noise: float, seed: int = 0, ungradable: tuple[int, ...] = ()
) -> list[GradedRow]:
    """Rows of test_predictions.csv by a grader that errs with `noise`; `ungradable` are positions."""
    logits = drawn_logits(grades, noise=noise, seed=seed)
    decided = DECISION.apply(logits)
    return [
        GradedRow(
            image_id=f"photo_{row:04d}",
            patient_id=groups[row].removeprefix("patient:"),
            group=groups[row],
            grade=int(grades[row]),
            logits=tuple(logits[row].tolist()),
            probabilities=tuple(decided.probabilities[row].tolist()),
            expected_grade=float(decided.expected_grade[row]),
            predicted=int(decided.grade[row]),
            predicted_locked=int(decided.grade[row]),
            referable=bool(decided.referable[row]),
            referable_probability=float(decided.referable_probability[row]),
            needs_human=bool(decided.needs_human[row]),
            status=Status.UNGRADABLE if row in ungradable else Status.SCORED,
        )
        for row in range(len(grades))
    ]


def graded_answers(
    grades: NDArray[np.int64], *, noise: float, seed: int = 0, ungradable: tuple[int, ...] = ()
) -> Answers:
    groups = [f"patient:{row}" for row in range(len(grades))]
    return Answers.of_rows(graded_table(grades, groups, noise=noise, seed=seed, ungradable=ungradable))


def drawn_logits(grades: NDArray[np.int64], *, noise: float, seed: int) -> NDArray[np.float64]:
    """Shape (N, 5), highest at the grade plus a normal error."""
    centre = grades + np.random.default_rng(seed).normal(0, noise, len(grades))
    return np.asarray(-2.0 * (np.arange(5) - centre[:, None]) ** 2)
