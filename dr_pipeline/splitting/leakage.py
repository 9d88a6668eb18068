"""The gates of a split: nothing is shared between its parts, and no grade is missing from one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from dr_pipeline.errors import GateError
from dr_pipeline.schema import GRADE_NAMES, Split
from dr_pipeline.splitting.read import SplitRow

_KINDS = {"patient": "patient_id", "duplicate cluster": "duplicate_cluster", "group": "group"}
_NAMED_AT_MOST = 5


def shared_between_parts(rows: Iterable[SplitRow]) -> dict[str, list[str]]:
    """The photographs, patients, duplicate clusters and groups found in more than one part (test, or a fold).

    Works on the rows as written, without knowledge of how they were divided.
    """
    parts: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in ("photograph", *_KINDS)}
    for row in rows:
        part = row.split if row.fold is None else f"{row.split} fold {row.fold}"
        parts["photograph"][row.image_id].add(part)
        for kind, column in _KINDS.items():
            if name := getattr(row, column):
                parts[kind][name].add(part)
    return {kind: sorted(name for name, where in named.items() if len(where) > 1) for kind, named in parts.items()}


def require_nothing_shared(rows: Iterable[SplitRow]) -> dict[str, int]:
    """How much is shared between parts, by kind: all 0.

    Raises:
        GateError: Something is shared.
    """
    shared = shared_between_parts(rows)
    for kind, names in shared.items():
        if names:
            raise GateError(
                f"{len(names)} {kind}(s) are in more than one part of the split: {', '.join(names[:_NAMED_AT_MOST])}",
                where="split",
                todo="remake the split with `dvc repro split`; a split edited by hand must keep groups together",
            )
    return {kind: len(names) for kind, names in shared.items()}


def require_every_grade(grades: Mapping[str, Counter[int]], num_folds: int) -> None:
    """Refuses a split in which a grade that the data hold is missing from test or from a fold's training or validation.

    Args:
        grades: Photographs by grade of each part: "test", "0", "1", …
        num_folds: Number of folds.

    Raises:
        GateError: Names the grade and the part.
    """
    present = Counter[int]()
    for counts in grades.values():
        present.update(counts)
    folds = {str(fold): grades.get(str(fold), Counter[int]()) for fold in range(num_folds)}
    needed = {Split.TEST.value: grades.get(Split.TEST.value, Counter[int]())}
    for fold, counts in folds.items():
        needed[f"validation of fold {fold}"] = counts
        needed[f"train of fold {fold}"] = sum((folds[other] for other in folds if other != fold), Counter[int]())
    for grade in sorted(present):
        lacking = [part for part, counts in needed.items() if not counts[grade]]
        if lacking:
            raise GateError(
                f"grade {grade} ({GRADE_NAMES[grade]}) is in the data ({present[grade]} photographs) "
                f"but missing from: {', '.join(lacking)}",
                where="split",
                todo="lower split.num_folds, raise split.test_share, add patients of this grade, or try another "
                "split.salt; figures of a part without a grade would mean nothing",
            )
