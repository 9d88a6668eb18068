"""Evaluates a table of predictions with the readers' grades, without the photographs and without the network."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from dr_pipeline.files import iterate_csv, printable, spreadsheet_plain
from dr_pipeline.intake.graded_files import find_columns
from dr_pipeline.intake.join import join_labels
from dr_pipeline.intake.label_table import LabelTable, read_labels
from dr_pipeline.intake.patient_ids import known_patients
from dr_pipeline.intake.photographs import Listing
from dr_pipeline.intake.records import Intake, Provenance, shortlist
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import NUM_GRADES, RESEARCH_USE, VISION_THREATENING_FROM, Status
from dr_pipeline.tables.foreign_csv import foreign_header
from dr_pipeline.tables.graded import GradedRow, read_graded
from dr_pipeline.tables.predictions import PredictionRow, read_predictions
from dr_pipeline.tables.table import require_finite, require_probabilities

# A column that `score` writes and that no table with the readers' grades has.
_SCORED = "bundle_id"
_SCORE_AGAIN = "score the photographs again"
_IMAGE_ID = "image_id"
_PROVENANCE = Provenance("the readers' grades", "", "")


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
        labels: As `find_columns` takes it; names are ids of the predictions, or their paths or file names.

    Raises:
        DataError: A table is damaged; a photograph is twice in the predictions, or has two grades in the labels; a
            label has no prediction; probabilities do not sum to 1; there are predictions of several bundles; no
            photograph has a label.
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
    intake = _read_labels(labels, rows)
    if intake.orphan_rows:
        raise DataError(
            f"labels without a prediction: {shortlist(map(printable, intake.orphan_rows))}",
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
    graded = [(rows[label.image_id], label) for label in intake.records if label.grade is not None]
    if not graded:
        raise DataError("no photograph has a grade by a reader", where=printable(labels), todo="grade some")
    notes = []
    if without := len(rows) - len(intake.records):
        notes.append(f"{without} predictions without a label are not evaluated")
    if ungraded := len(intake.records) - len(graded):
        notes.append(f"{ungraded} labels without a grade are not evaluated")
    notes += intake.warnings
    patients = tuple(known_patients([label.patient_id or row.patient_id for row, label in graded]))
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


def _read_labels(path: Path, rows: Mapping[str, PredictionRow]) -> Intake:
    """The labels, each with the id of its prediction."""
    columns, header = find_columns(path), foreign_header(path)
    if _IMAGE_ID in header:
        columns |= {"key": _IMAGE_ID}
    table = read_labels(path, columns)
    paths = {name: spreadsheet_plain(row.path) for name, row in rows.items()}
    uses = Counter(paths.values())
    # A path that two files have, each in its own source, is ambiguous, as if they lay in two folders; an id is not.
    name_of = {name: path if uses[path] == 1 else f"{name}/{path}" for name, path in paths.items()}
    id_of = {own: name for name, own in name_of.items()}
    labels = tuple(replace(label, key=name_of.get(label.key, label.key)) for label in table.labels)
    return join_labels(
        Listing(tuple(id_of), left_aside={}),
        LabelTable(labels, table.warnings),
        where=printable(path),
        provenance=_PROVENANCE,
        name_ids=lambda names: {name: id_of[name] for name in names},
    )


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
