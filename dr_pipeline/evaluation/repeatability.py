"""Repeatability: whether two photographs of one eye at one visit get the same answer, whatever the true grade is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.metrics.bootstrap import bootstrap_sums, one_hot_cells
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.metrics.kappa import kappa_of_confusions
from dr_pipeline.schema import NUM_GRADES
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow

if TYPE_CHECKING:  # it imports pydantic, which a clinic need not have
    from dr_pipeline.evaluation.image_metrics import Resampling


@dataclass(frozen=True)
class EyePhotograph:
    """What a photograph is paired by; empty: unknown or none.

    Attributes:
        eye: The eye at one visit, such as patient, visit and side; or the group that the audit's search found.
        copy_of: Photographs with the same text here are copies of one picture, and no repetition.
        group: The unit of resampling.
    """

    eye: str
    copy_of: str
    group: str


def repeatability_report(
    answers: Answers, true: NDArray[np.int64], photographs: Sequence[EyePhotograph], drawn: "Resampling"
) -> dict[str, Any]:
    """The agreement of the pairs of photographs of one eye.

    Args:
        answers: For N photographs.
        true: The readers' grades, shape (N,): where they differ between two photographs, so may the grader's.
        photographs: The N photographs.
        drawn: Replicates, seed and confidence.

    Returns:
        Numbers of eyes and pairs; `referral_changes`: the fraction of pairs of which one is referred and the other is
        not (without a grade: referred); `one_ungradable`: of which one alone has no grade; of the pairs with two grades
        `same_grade`, `qwk` between the two, and the readers' `same_grade_by_readers`.
    """
    pairs = _pairs(photographs)
    first, second = pairs[:, 0], pairs[:, 1]
    units = [photographs[row].group for row in first.tolist()]
    scored = answers.scored
    graded = np.flatnonzero(scored[first] & scored[second])
    of_graded = [units[row] for row in graded.tolist()]
    one, other = answers.grade[first[graded]], answers.grade[second[graded]]
    confidence = drawn["confidence"]
    return {
        "eyes": len({photographs[row].eye for row in first.tolist()}),
        "pairs": len(pairs),
        "pairs_with_two_grades": len(graded),
        "referral_changes": clustered_proportion(
            answers.referred[first] != answers.referred[second], units, confidence
        ).to_dict(),
        "one_ungradable": clustered_proportion(scored[first] != scored[second], units, confidence).to_dict(),
        "same_grade": clustered_proportion(one == other, of_graded, confidence).to_dict(),
        "within_one_grade": clustered_proportion(np.abs(one - other) <= 1, of_graded, confidence).to_dict(),
        "same_grade_by_readers": clustered_proportion(
            true[first[graded]] == true[second[graded]], of_graded, confidence
        ).to_dict(),
        # Neither is the first: each pair counts in both orders.
        "qwk": bootstrap_sums(
            lambda sums: kappa_of_confusions(sums.reshape(-1, NUM_GRADES, NUM_GRADES)),
            one_hot_cells(one, other) + one_hot_cells(other, one),
            of_graded,
            **drawn,
        ).to_dict(),
    }


def _pairs(photographs: Sequence[EyePhotograph]) -> NDArray[np.int64]:
    """The positions of every two photographs of one eye that are no copies of each other, shape (P, 2)."""
    of_eye: defaultdict[str, list[int]] = defaultdict(list)
    for position, photograph in enumerate(photographs):
        if photograph.eye:
            of_eye[photograph.eye].append(position)
    pairs = [
        (one, other)
        for positions in of_eye.values()
        for one, other in combinations(positions, 2)
        if not photographs[one].copy_of or photographs[one].copy_of != photographs[other].copy_of
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def eye_photographs(rows: Sequence[SplitRow], manifest: Mapping[str, ManifestRow]) -> list[EyePhotograph]:
    """What photographs are paired by: patient, visit and side; where these are unknown, the eye that the audit found.

    Args:
        rows: The photographs.
        manifest: Rows of data/audited.csv by image id.
    """
    return [
        EyePhotograph(
            eye=f"{row.examination}\0{row.eye}" if row.examination and row.eye else manifest[row.image_id].same_eye,
            copy_of=row.duplicate_cluster,
            group=row.group,
        )
        for row in rows
    ]
