"""The table of graded photographs with known grades: one row each, for figures, comparison and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.files import write_csv
from dr_pipeline.schema import GRADES
from dr_pipeline.tables.splits import SplitRow

GRADED_VERSION = 1
GRADED_COLUMNS = (
    "schema_version",
    "image_id",
    "patient_id",
    "group",
    "grade",  # the true one
    *(f"logit{grade}" for grade in GRADES),
    *(f"p{grade}" for grade in GRADES),  # calibrated by the locked decision
    "expected_grade",
    "predicted",  # validation: by a decision fitted on other photographs; test: by the locked one
    "predicted_locked",  # by the decision that is shipped
    "referable",  # as `predicted`
    "referable_probability",
    "needs_human",
    "status",
)


def write_graded(
    path: Path,
    rows: Sequence[SplitRow],
    statuses: Sequence[str],
    logits: NDArray[Any],
    locked: Decided,
    judged: Decided,
) -> None:
    """Writes the table.

    Args:
        path: The CSV file.
        rows: The photographs, N of them.
        statuses: Their quality statuses.
        logits: Shape (N, 5).
        locked: What the decision that is shipped says.
        judged: What figures are computed from.
    """
    table = []
    for index, (row, status) in enumerate(zip(rows, statuses, strict=True)):
        record = {
            "schema_version": GRADED_VERSION,
            "image_id": row.image_id,
            "patient_id": row.patient_id,
            "group": row.group,
            "grade": row.grade,
            "expected_grade": f"{locked.expected_grade[index]:.6f}",
            "predicted": int(judged.grade[index]),
            "predicted_locked": int(locked.grade[index]),
            "referable": int(judged.referable[index]),
            "referable_probability": f"{locked.referable_probability[index]:.6f}",
            "needs_human": int(locked.needs_human[index]),
            "status": status,
        }
        for grade in GRADES:
            record[f"logit{grade}"] = f"{logits[index, grade]:.6f}"
            record[f"p{grade}"] = f"{locked.probabilities[index, grade]:.6f}"
        table.append(record)
    write_csv(path, GRADED_COLUMNS, table)
