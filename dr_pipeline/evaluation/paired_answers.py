"""The answers of two graders for the same photographs, from the predictions of their tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.files import printable
from dr_pipeline.tables.compared import ComparedRow
from dr_pipeline.tables.graded import GradedRow, read_graded

KNOWN_PATIENT = "patient:"  # begins a group whose patient is known
Row = TypeVar("Row", GradedRow, ComparedRow)


@dataclass(frozen=True, eq=False)
class PairedAnswers:
    """Two graders' answers for N photographs.

    Attributes:
        image_ids: N names.
        grades: By the readers, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        old: Answers of the one in use.
        new: Answers of the one that may replace it.
        left_out: How many photographs are not among them, by the reason.
    """

    image_ids: tuple[str, ...]
    grades: NDArray[np.int64]
    groups: tuple[str, ...]
    old: Answers
    new: Answers
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """Sentences for the user."""
        return [
            *unknown_patients_warning(self.groups),
            *(f"{count} photographs left out: {reason}" for reason, count in self.left_out.items() if count),
        ]


def unknown_patients_warning(groups: Sequence[str]) -> list[str]:
    """A sentence where patients are unknown; none where all are known."""
    unknown = sum(not group.startswith(KNOWN_PATIENT) for group in groups)
    if not unknown:
        return []
    return [
        f"{unknown} of {len(groups)} photographs are of unknown patients: each counts as a patient of its own, so that "
        "intervals are too narrow where a patient has several"
    ]


def read_paired_tables(old: Path, new: Path) -> PairedAnswers:
    """Reads two tables of graded photographs, such as data/test_predictions.csv, and pairs them by image id.

    Raises:
        DataError: A table cannot be used, see `read_graded`, or is empty; or they are not of the same photographs,
            grades and patients.
    """
    tables = {path: read_graded(path) for path in (old, new)}
    for path, rows in tables.items():
        if not rows:
            raise DataError("holds no photograph", where=printable(path), todo="give the predictions of a test")
    olds, news = ({row.image_id: row for row in tables[path]} for path in (old, new))
    return pair_rows(olds, news, Answers.of_rows, where=f"{printable(old)}, {printable(new)}")


def pair_rows(
    old: Mapping[str, Row], new: Mapping[str, Row], answers: Callable[[Sequence[Row]], Answers], *, where: str
) -> PairedAnswers:
    """Pairs the rows of two tables.

    Args:
        old: Those of the grader in use, by photograph.
        new: Those of the one that may replace it.
        answers: What rows answer.
        where: Named in errors.

    Raises:
        DataError: They are not of the same photographs, grades and patients.
    """
    todo = "test both graders on the same split"
    if unmatched := sorted(old.keys() ^ new.keys()):
        raise DataError(
            f"the two tables are not of the same photographs: {len(unmatched)} are in one only, such as "
            f"{unmatched[0]!r}",
            where=where,
            todo=todo,
        )
    for name, what in (("grade", "grade by the readers"), ("group", "patient")):
        if differing := [key for key in old if getattr(old[key], name) != getattr(new[key], name)]:
            raise DataError(
                f"{len(differing)} photographs have another {what} in the other table, such as {differing[0]!r}",
                where=where,
                todo=todo,
            )
    names = sorted(old)
    first = [old[name] for name in names]
    return PairedAnswers(
        image_ids=tuple(names),
        grades=np.array([row.grade for row in first], dtype=np.int64),
        groups=tuple(row.group for row in first),
        old=answers(first),
        new=answers([new[name] for name in names]),
    )
