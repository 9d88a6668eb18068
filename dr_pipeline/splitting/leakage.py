"""The gates of a split: nothing is shared between its parts, no part lacks a grade or a class, no photograph leaks.

Whatever later stages need of the labels is checked here, before anything is trained.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dr_pipeline.errors import GateError
from dr_pipeline.schema import GRADE_NAMES, REFERABLE_FROM, Split
from dr_pipeline.splitting.grade_balance import GradeTest
from dr_pipeline.splitting.similarity_probe import FALSE_ALARM, SAME_PICTURE_BITS, SimilarityProbe
from dr_pipeline.tables.splits import SplitRow

_KINDS = {"patient": "patient_id", "duplicate cluster": "duplicate_cluster", "group": "group"}
_EYE = "eye"
_MAX_NAMED = 5
# `select` deploys no network whose validation kappa has no interval; fewer groups have none, see `metrics.bootstrap`.
LEAST_VALIDATION_GROUPS = 3


def shared_between_parts(rows: Iterable[SplitRow], same_eye: Mapping[str, str]) -> dict[str, list[str]]:
    """What is in more than one part (test, a fold, train): photographs, patients, duplicate clusters, groups and eyes.

    Works on the rows as written, independently of how they were assigned.

    Args:
        rows: splits.csv.
        same_eye: Group of the photographs of one eye by image_id, where there is one.
    """
    parts: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in ("photograph", *_KINDS, _EYE)}
    for row in rows:
        for kind, name in _names(row, same_eye).items():
            if name:
                parts[kind][name].add(row.part)
    return {kind: sorted(name for name, where in named.items() if len(where) > 1) for kind, named in parts.items()}


def _names(row: SplitRow, same_eye: Mapping[str, str]) -> dict[str, str]:
    """What must not be in two parts, by kind."""
    columns = {kind: getattr(row, column) for kind, column in _KINDS.items()}
    return {"photograph": row.image_id, **columns, _EYE: same_eye.get(row.image_id, "")}


def require_nothing_shared(rows: Sequence[SplitRow], same_eye: Mapping[str, str]) -> dict[str, int]:
    """The number shared between parts, by kind: all 0. The error names a photograph of each patient, not the patient.

    Args:
        rows: splits.csv.
        same_eye: See `shared_between_parts`.

    Raises:
        GateError: Something is shared.
    """
    shared = shared_between_parts(rows, same_eye)
    for kind, names in shared.items():
        if names:
            named = [
                min(row.image_id for row in rows if _names(row, same_eye)[kind] == name) for name in names[:_MAX_NAMED]
            ]
            raise GateError(
                f"{len(names)} {kind}(s) are in more than one part of the split, a photograph of each: "
                + ", ".join(named),
                where="split",
                todo="run `dvc repro split`; a split edited by hand must keep groups together",
            )
    return {kind: len(names) for kind, names in shared.items()}


def require_both_classes(grades: Iterable[int], *, where: str) -> None:
    """Refuses a data set that is all referable or all not: no network of it could be deployed.

    `require_every_grade` then sees to it that each part has both.

    Args:
        grades: Of all photographs that are used.
        where: The table.

    Raises:
        GateError: A class is absent.
    """
    counts = Counter(grades)
    listed = ", ".join(f"{counts[grade]} of grade {grade}" for grade in sorted(counts))
    if max(counts) < REFERABLE_FROM:
        raise GateError(
            f"no photograph is referable, which is grade {REFERABLE_FROM:d} or above; there are {listed}: the "
            "sensitivity that `select` requires cannot be measured",
            where=where,
            todo=f"add photographs of grade {REFERABLE_FROM:d} or above. If the labels mean not referable and "
            "referable, write 0 and 2 instead: the network then separates these two, its other grades mean nothing",
        )
    if min(counts) >= REFERABLE_FROM:
        raise GateError(
            f"every photograph is referable, which is grade {REFERABLE_FROM:d} or above; there are {listed}: "
            "specificity and the area under the ROC curve cannot be measured",
            where=where,
            todo="add photographs of grade 0 or 1",
        )


def require_validation_groups(rows: Iterable[SplitRow]) -> None:
    """Refuses a fold whose validation part has too few groups for the interval that `select` requires.

    Raises:
        GateError: Names the fold.
    """
    groups: defaultdict[int, set[str]] = defaultdict(set)
    for row in rows:
        if row.fold is not None:
            groups[row.fold].add(row.group)
    for fold, names in sorted(groups.items()):
        if len(names) < LEAST_VALIDATION_GROUPS:
            raise GateError(
                f"the validation part of fold {fold} has {len(names)} group(s) of patients; figures of fewer than "
                f"{LEAST_VALIDATION_GROUPS} have no interval, and `select` deploys nothing without one",
                where="params.yaml, split",
                todo="lower split.num_folds, raise split.validation_share, or add patients",
            )


def require_every_grade(grades: Mapping[str, Counter[int]], folds: Sequence[str], *, drawn: bool) -> None:
    """Refuses a split where a grade of the data is missing from test or from a fold's training or validation.

    Args:
        grades: Photographs by grade of each part: "test", "0", "1", …, "train".
        folds: Names of the validation parts.
        drawn: Whether all parts were drawn; the advice for predefined parts differs.

    Raises:
        GateError: Names the grade and the part.
    """
    present = sum(grades.values(), Counter[int]())
    test = grades.get(Split.TEST.value, Counter[int]())
    needed = {Split.TEST.value: test}
    for fold in folds:
        validation = grades.get(fold, Counter[int]())
        needed[f"validation of fold {fold}"] = validation
        needed[f"train of fold {fold}"] = present - test - validation
    for grade in sorted(present):
        lacking = [part for part, counts in needed.items() if not counts[grade]]
        if lacking:
            raise GateError(
                f"grade {grade} ({GRADE_NAMES[grade]}) is in the data ({present[grade]} photographs) "
                f"but missing from: {', '.join(lacking)}",
                where="params.yaml, split",
                todo="lower split.num_folds, raise split.test_share or split.validation_share, or add patients of this "
                "grade (test, validation and training need one each); a part without a grade gives no figure of it"
                if drawn
                else "set split.test and split.validation to share, hold out other split.test_sites, or add patients "
                "of this grade; a part without a grade gives no figure of it",
            )


def require_similar_grades(test: GradeTest) -> None:
    """Refuses drawn parts whose grades differ more than chance explains.

    Raises:
        GateError: They do.
    """
    if test.p < FALSE_ALARM:
        raise GateError(
            f"the parts differ in grade (chi-square {test.chi_square:.1f}, {test.degrees_of_freedom} degrees of "
            f"freedom, p = {test.p:.1e}), though they were stratified by grade",
            where="split",
            todo="run `dvc repro split`; a split edited by hand must keep the shares of each grade",
        )


def require_no_leak(probe: SimilarityProbe) -> None:
    """Refuses a split where held-out photographs resemble training photographs beyond chance.

    Raises:
        GateError: Names the nearest pairs.
    """
    for name, part in probe.parts.items():
        if part.leaks:
            pairs = ", ".join(f"{pair.image_id} and {pair.nearest} ({pair.distance})" for pair in part.pairs)
            levels = "; ".join(
                f"{level.photographs} of {part.photographs} are nearer than {level.bits} bits, which "
                f"{level.percentile:g} of the training photographs are to one another (p = {level.p:.1e})"
                for level in part.levels
            )
            raise GateError(
                f"photographs of the part {name} resemble its training photographs: {part.same_picture} are within "
                f"{SAME_PICTURE_BITS} of 256 bits of a training photograph; {levels}; the nearest: {pairs}",
                where="split",
                todo="inspect the pairs: add the patients they share, or let the audit exclude or cluster the copies",
            )
