"""Several photographs of an eye at a visit (two fields, a retake): the eye's grade is that of its worst gradable image.

Screening programmes grade eyes, not photographs: disease in one field is the eye's disease, whatever the other field
shows. Copies of one photograph count once, since they belong to one eye.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.image_metrics import figures, select
from dr_pipeline.evaluation.rejection import is_rejected
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import Status
from dr_pipeline.tables.splits import SplitRow


def representative_images(
    rows: Sequence[SplitRow], statuses: Sequence[str], expected_grade: NDArray[np.float64]
) -> dict[tuple[str, str], tuple[int, list[int]]]:
    """The representative image of each eye.

    Args:
        rows: N photographs.
        statuses: Their quality statuses.
        expected_grade: The model's, shape (N,).

    Returns:
        By examination (patient and visit) and eye: the number of the photograph with the highest expected grade among
        the eye's gradable ones (among all where none is gradable; the first of equals), and the numbers of all its
        photographs. Photographs of unknown patients or eyes are in none.
    """
    members: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row.examination and row.eye:
            members[row.examination, row.eye].append(number)
    representatives = {}
    for eye, numbers in sorted(members.items()):
        gradable = [number for number in numbers if statuses[number] == Status.SCORED]
        representatives[eye] = (max(gradable or numbers, key=lambda number: expected_grade[number]), numbers)
    return representatives


def eye_figures(
    decided: Decided,
    true: NDArray[np.int64],
    rows: Sequence[SplitRow],
    statuses: Sequence[str],
    params: Evaluation,
) -> dict[str, Any]:
    """The figures with eyes as units; an eye's true grade is the worst of its photographs'.

    Args:
        decided: The decisions of N photographs.
        true: The readers' grades, shape (N,).
        rows: The N photographs.
        statuses: Their quality statuses.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        The result of `figures`, with `eyes`, `eyes_with_several_photographs` and
        `eyes_without_gradable_photograph`; only these counts, 0, where no photograph's patient and eye are known.
    """
    representatives = representative_images(rows, statuses, decided.expected_grade)
    rejected = is_rejected(statuses)
    counts = {
        "eyes": len(representatives),
        "eyes_with_several_photographs": sum(len(numbers) > 1 for _, numbers in representatives.values()),
        "eyes_without_gradable_photograph": sum(
            bool(rejected[numbers].all()) for _, numbers in representatives.values()
        ),
    }
    if not representatives:
        return counts
    chosen = np.array([number for number, _ in representatives.values()], dtype=np.int64)
    worst = np.array([true[numbers].max() for _, numbers in representatives.values()], dtype=np.int64)
    return figures(select(decided, chosen), worst, [rows[number].group for number in chosen.tolist()], params) | counts
