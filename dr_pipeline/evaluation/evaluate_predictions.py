"""Evaluates a table of predictions with the readers' grades, without the photographs and without the network."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided, Decision
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.extended_figures import extended_figures, limits
from dr_pipeline.evaluation.image_metrics import all_and_gradable, select
from dr_pipeline.evaluation.screening_figures import screening_figures
from dr_pipeline.evaluation.uncertainty_figures import uncertainty_measures
from dr_pipeline.files import iterate_csv, printable
from dr_pipeline.intake.records import shortlist
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import NUM_GRADES, RESEARCH_USE, VISION_THREATENING_FROM, Status
from dr_pipeline.tables.graded import GradedRow, read_graded
from dr_pipeline.tables.predictions import PredictionRow, read_predictions
from dr_pipeline.tables.table import GradeCell, Table, require_finite, require_probabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """One photograph's grade by the readers, and its patient; empty: unknown."""

    image_id: str
    grade: GradeCell | None
    patient_id: str = ""


# A column that `score` writes and that no table with the readers' grades has.
_SCORED = "bundle_id"
_SCORE_AGAIN = "score the photographs again"
_LABELS = Table(LabelRow, version=None, todo="correct the table")


@dataclass(frozen=True)
class Evaluated:
    """N photographs with a grade by the readers and what the bundle answered.

    Attributes:
        true: Grades by the readers, shape (N,).
        decided: The bundle's decisions; those of a photograph without an answer are placeholders.
        statuses: N statuses; only one that is `scored` is sure to have an answer.
        answered: Whether there is an answer, shape (N,).
        patients: N ids; empty: unknown.
        groups: What is resampled as a whole, N names.
        bundle_id: Of the bundle; empty: the table does not state it.
        notes: What was left out, as sentences.
    """

    true: NDArray[np.int64]
    decided: Decided
    statuses: tuple[Status, ...]
    answered: NDArray[np.bool_]
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    bundle_id: str = ""
    notes: tuple[str, ...] = ()


def read_evaluated(predictions: Path, labels: Path | None) -> Evaluated:
    """From a table of `score` and one of labels, or from a table of `test` or `validate`, which holds both.

    Args:
        predictions: The table of predictions.
        labels: With the columns image_id, grade and, if known, patient_id.

    Raises:
        DataError: A table is damaged; a photograph is twice in one of them; a label has no prediction; probabilities do
            not sum to 1; there are predictions of several bundles; no photograph has a label.
    """
    if labels:
        return _of_scored(predictions, labels)
    if _SCORED in next(iterate_csv(predictions), {}):
        raise DataError(
            "the grade in this table is the network's own, not a reader's",
            where=printable(predictions),
            todo="give the readers' grades with --labels",
        )
    rows = read_graded(predictions)
    if not rows:
        raise DataError("holds no photograph", where=printable(predictions), todo="name another table")
    return _of_graded(rows)


def _of_graded(rows: Sequence[GradedRow]) -> Evaluated:
    decided = Decided(
        probabilities=np.array([row.probabilities for row in rows]).reshape(-1, NUM_GRADES),
        expected_grade=np.array([row.expected_grade for row in rows]),
        grade=np.array([row.predicted for row in rows], dtype=np.int64),
        referable_probability=np.array([row.referable_probability for row in rows]),
        referable=np.array([row.referable for row in rows], dtype=np.bool_),
        vision_threatening=np.array([row.predicted >= VISION_THREATENING_FROM for row in rows], dtype=np.bool_),
        needs_human=np.array([row.needs_human for row in rows], dtype=np.bool_),
    )
    return Evaluated(
        true=np.array([row.grade for row in rows], dtype=np.int64),
        decided=decided,
        statuses=tuple(row.status for row in rows),
        answered=np.ones(len(rows), dtype=np.bool_),
        patients=tuple(row.patient_id for row in rows),
        groups=tuple(row.group for row in rows),
    )


def _of_scored(predictions: Path, labels: Path) -> Evaluated:
    rows = _once(read_predictions(predictions), predictions)
    label_of = _once(_read_labels(labels), labels)
    if missing := [name for name in label_of if name not in rows]:
        raise DataError(
            f"labels without a prediction: {shortlist(map(printable, missing))}",
            where=printable(predictions),
            todo="score these photographs, too, or remove their labels: without them the figures are of a selection",
        )
    bundles = {row.bundle_id for row in rows.values()}
    if len(bundles) > 1:
        raise DataError(
            f"predictions of {len(bundles)} bundles: {', '.join(sorted(bundles))}",
            where=printable(predictions),
            todo="score all photographs with one bundle: thresholds of another one do not fit",
        )
    for name, row in rows.items():
        if row.grade is not None:
            _require_answer(row, where=f"{printable(predictions)}, {name!r}")
    graded = [(rows[name], label) for name, label in label_of.items() if label.grade is not None]
    if not graded:
        raise DataError("no photograph has a grade by a reader", where=printable(labels), todo="grade some")
    notes = []
    if without := sum(name not in label_of for name in rows):
        notes.append(f"{without} predictions without a label are not evaluated")
    if ungraded := len(label_of) - len(graded):
        notes.append(f"{ungraded} labels without a grade are not evaluated")
    patients = tuple(label.patient_id or row.patient_id for row, label in graded)
    return Evaluated(
        true=np.array([label.grade for _, label in graded], dtype=np.int64),
        decided=_decided([row for row, _ in graded]),
        statuses=tuple(row.status for row, _ in graded),
        answered=np.array([row.grade is not None for row, _ in graded], dtype=np.bool_),
        patients=patients,
        groups=tuple(
            f"patient:{patient}" if patient else f"image:{row.duplicate_of or row.image_id}"
            for patient, (row, _) in zip(patients, graded, strict=True)
        ),
        bundle_id=next(iter(bundles)),
        notes=tuple(notes),
    )


def evaluate_predictions(evaluated: Evaluated, params: Evaluation, decision: Decision | None = None) -> dict[str, Any]:
    """The report: the figures of `test`, as far as the table has them.

    Args:
        evaluated: The photographs.
        params: Confidence, bootstrap replicates and their seed, prevalences.
        decision: Of the bundle; None: the distances to its borders are no measures of uncertainty.

    Returns:
        As docs/reference/metrics.md describes. Where a photograph has no answer, the figures are of those with one,
        except `screening`, which counts it as referred.
    """
    rows = np.flatnonzero(evaluated.answered)
    decided, true = select(evaluated.decided, rows), evaluated.true[rows]
    groups = [evaluated.groups[row] for row in rows.tolist()]
    statuses = [evaluated.statuses[row] for row in rows.tolist()]
    measures = uncertainty_measures(decided, decision)
    report = all_and_gradable(decided, true, groups, statuses, params)
    report |= extended_figures(decided, true, groups, statuses, params, measures=measures)
    if len(rows) < len(evaluated.true):
        report["screening"] = screening_figures(
            evaluated.decided, evaluated.true, evaluated.groups, evaluated.statuses, params
        )
    return report | {
        "photographs": len(evaluated.true),
        "without_answer": len(evaluated.true) - len(rows),
        "by_status": dict(Counter(str(status) for status in evaluated.statuses)),
        "bundle_id": evaluated.bundle_id or None,
        "limits": [*evaluated.notes, *limits(evaluated.true, evaluated.patients)],
        "research_use": RESEARCH_USE,
    }


def require_bundle(evaluated: Evaluated, bundle_id: str, where: Path) -> None:
    """Refuses predictions of another bundle than the one whose thresholds are to be used.

    Raises:
        DataError: They are of another bundle.
    """
    if evaluated.bundle_id and evaluated.bundle_id != bundle_id:
        raise DataError(
            f"the predictions are of bundle {evaluated.bundle_id}, and this is bundle {bundle_id}",
            where=printable(where),
            todo="name the bundle that scored them, or score again",
        )


def _read_labels(path: Path) -> Iterator[LabelRow]:
    for number, cells in enumerate(iterate_csv(path, ("image_id", "grade")), start=2):
        yield _LABELS.parse({"patient_id": ""} | cells, where=f"{printable(path)}, row {number}")


def _once(rows: Iterable[Any], path: Path) -> dict[str, Any]:
    by_id: dict[str, Any] = {}
    for row in rows:
        if row.image_id in by_id:
            raise DataError(
                f"holds {row.image_id!r} twice", where=printable(path), todo="keep one row of each photograph"
            )
        by_id[row.image_id] = row
    return by_id


def _require_answer(row: PredictionRow, *, where: str) -> None:
    """Raises DataError where a graded photograph lacks a number that the figures need, or it is none."""
    numbers = (row.expected_grade, row.referable_probability)
    if row.probabilities is None or row.referable is None or None in numbers:
        raise DataError("graded, but without probabilities, expected grade or referral", where=where, todo=_SCORE_AGAIN)
    try:
        require_probabilities(row.probabilities)
        require_finite(*numbers)
    except ValueError as error:
        raise DataError(str(error), where=where, todo=_SCORE_AGAIN) from None


def _decided(rows: Sequence[PredictionRow]) -> Decided:
    """The decisions as the table has them; what is missing is uniform, grade 0 and not referable."""
    return Decided(
        probabilities=np.array([row.probabilities or (1 / NUM_GRADES,) * NUM_GRADES for row in rows]),
        expected_grade=np.array([row.expected_grade or 0.0 for row in rows]),
        grade=np.array([row.grade or 0 for row in rows], dtype=np.int64),
        referable_probability=np.array([row.referable_probability or 0.0 for row in rows]),
        referable=np.array([bool(row.referable) for row in rows], dtype=np.bool_),
        vision_threatening=np.array([bool(row.vision_threatening) for row in rows], dtype=np.bool_),
        needs_human=np.array([row.needs_human for row in rows], dtype=np.bool_),
    )
