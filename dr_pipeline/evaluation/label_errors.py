"""Which labels are worth a second reading: confident learning on out-of-fold probabilities.

The list names photographs for a human reader. It changes no label and excludes no photograph.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.files import iterate_csv, spreadsheet_safe
from dr_pipeline.schema import GRADES
from dr_pipeline.tables.suspicious_labels import SuspiciousLabelRow, iterate_labelled_predictions

# A column that `score` writes and that no table with the readers' grades has.
_SCORED = "bundle_id"
# Two readers often differ by one grade, so that one grade apart also requires confidence; two grades apart do not.
GROSS_DISTANCE = 2


@dataclass(frozen=True)
class OutOfFold:
    """N photographs, each predicted by networks that were not trained on it.

    Attributes:
        image_ids: N names, each once.
        grades: Their labels, shape (N,).
        probabilities: Shape (N, 5), the mean where several networks predicted one photograph.
        left_aside: Rows without a label or without probabilities.
    """

    image_ids: tuple[str, ...]
    grades: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    left_aside: int


@dataclass(frozen=True)
class Suspicion:
    """One label that the networks contradict.

    Attributes:
        index: Its row in the predictions.
        suggested: The grade that they predict instead.
        distance: Between label and suggestion, in grades.
        margin: The label's probability less the largest other one, brought to 0 … 1; the lower, the more suspicious.
        confident: Whether confident learning finds it, not its distance alone.
    """

    index: int
    suggested: int
    distance: int
    margin: float
    confident: bool


def read_out_of_fold(paths: Sequence[Path]) -> OutOfFold:
    """Reads tables of predictions; they need `image_id`, `grade` (the label) and `p0` to `p4`.

    A table does not state whether its network was trained on its photographs. Those of `validate` and of
    `experiment` are out of fold.

    Raises:
        DataError: A table is missing, lacks a column or is one that `score` wrote, whose grade is the network's own; a
            label is none of 0–4; probabilities are none; one photograph has two labels; no row is left.
    """
    labels: dict[str, int] = {}
    given: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
    left_aside = 0
    for path in paths:
        if _SCORED in next(iterate_csv(path), {}):
            raise DataError(
                "the grade in this table is the network's own, not a label",
                where=str(path),
                todo="name a table of `validate` or `experiment`, see --help",
            )
        for number, row in enumerate(iterate_labelled_predictions(path), start=2):
            if row.grade is None or row.probabilities is None:
                left_aside += 1
                continue
            if labels.setdefault(row.image_id, row.grade) != row.grade:
                raise DataError(
                    f"{row.image_id!r} has the grades {labels[row.image_id]} and {row.grade}",
                    where=f"{path}, row {number}",
                    todo="name tables that were made with the same labels",
                )
            given[row.image_id].append(row.probabilities)
    if not labels:
        raise DataError(
            "no row has both a label and probabilities", where=", ".join(map(str, paths)), todo="name another table"
        )
    return OutOfFold(
        image_ids=tuple(labels),
        grades=np.array(list(labels.values()), dtype=np.int64),
        probabilities=np.array([np.mean(given[image_id], axis=0) for image_id in labels]),
        left_aside=left_aside,
    )


def confidence_thresholds(grades: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean probability of each grade over the photographs with that label, shape (5,); infinite where none does."""
    return np.array(
        [probabilities[grades == grade, grade].mean() if (grades == grade).any() else np.inf for grade in GRADES]
    )


def suspicious_labels(grades: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[Suspicion]:
    """Finds doubtful labels by confident learning (Northcutt et al., J Artif Intell Res 2021;70:1373), and gross ones.

    A grade is claimed where its probability reaches the mean that its own photographs have, so that a network that is
    overconfident in one grade, or underconfident in a rare one, does not bias the list. Of several claimed grades the
    most probable counts. A label is suspicious where another grade is claimed, unless the label is the most probable
    of all (as in the authors' cleanlab). A grade that no photograph has as its label cannot be claimed.

    Grades have an order, which that method does not use. So a label is suspicious too where the most probable grade is
    two or more away, claimed or not, and the list begins with the greatest distances. Of 30 labels planted two or more
    grades off among 600 simulated ones, with a simulated network of 77 % accuracy, the first 30 of the list then hold
    27; by confident learning and its margin alone 21 (means of 20 simulations, checked by a test).

    Args:
        grades: Labels, shape (N,).
        probabilities: Out of fold, shape (N, 5).

    Returns:
        The most suspicious first: by the greatest distance, then by the lowest margin, then in the given order.
    """
    rows = np.arange(len(grades))
    claimed = np.where(probabilities >= confidence_thresholds(grades, probabilities), probabilities, -np.inf)
    probable = probabilities.argmax(axis=1)
    confident = np.isfinite(claimed.max(axis=1)) & (claimed.argmax(axis=1) != grades) & (probable != grades)
    suggested = np.where(confident, claimed.argmax(axis=1), probable)
    distance = np.abs(suggested - grades)
    others = probabilities.copy()
    others[rows, grades] = -np.inf
    margin = (probabilities[rows, grades] - others.max(axis=1) + 1) / 2
    suspicions = [
        Suspicion(int(row), int(suggested[row]), int(distance[row]), float(margin[row]), bool(confident[row]))
        for row in np.flatnonzero(confident | (distance >= GROSS_DISTANCE))
    ]
    return sorted(suspicions, key=lambda suspicion: (-suspicion.distance, suspicion.margin, suspicion.index))


def suspicious_rows(predictions: OutOfFold, suspicions: Sequence[Suspicion]) -> list[SuspiciousLabelRow]:
    """The rows of the list, in its order; names that a spreadsheet would run as a formula are made inert."""
    return [
        SuspiciousLabelRow(
            rank=rank,
            image_id=spreadsheet_safe(predictions.image_ids[suspicion.index]),
            grade=int(predictions.grades[suspicion.index]),
            suggested=suspicion.suggested,
            distance=suspicion.distance,
            margin=suspicion.margin,
            confident=suspicion.confident,
            probabilities=tuple(predictions.probabilities[suspicion.index].tolist()),
        )
        for rank, suspicion in enumerate(suspicions, start=1)
    ]
