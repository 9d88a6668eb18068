"""Several rows of one photograph: rows of several graders become its readings, repeated rows count once."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from dr_pipeline.errors import DataError
from dr_pipeline.intake.label_table import Label
from dr_pipeline.intake.records import Reading, shortlist

# Between the graders of one photograph, in the manifest.
_SEPARATOR = "; "

NamedLabel = tuple[str, Label]


class MergedReadings(NamedTuple):
    """(name, label) pairs with one label per photograph that several graders read; readings by name; warnings."""

    labels: list[NamedLabel]
    readings: dict[str, tuple[Reading, ...]]
    warnings: tuple[str, ...]


def median_grade(grades: Sequence[int]) -> int:
    """The median; of an even number of grades whose middle two differ, the higher one.

    On an ordinal scale the median minimises the sum of absolute differences from the readings, and it is the majority
    wherever there is one. Resolving a tie downwards would train a model to miss what one of two readers saw.

    Args:
        grades: At least one.
    """
    return sorted(grades)[len(grades) // 2]


def merge_readings(labels: Iterable[NamedLabel], *, where: str) -> MergedReadings:
    """Merges the rows of each photograph that differ in their grader.

    Without a column of graders, or with one grader for all rows, nothing is merged: see `merge_repeated_rows`. A row
    without a grade is not a reading; a photograph that none of its graders graded has no grade. Identical rows count
    once, with a warning.

    Args:
        labels: Name and label of each row.
        where: The label table, for messages.

    Returns:
        The rows, merged where there are several graders. Readings, sorted by grader, for photographs that have at least
        two.

    Raises:
        DataError: Among the rows of several graders, one has no grader, one grader gave two grades, or more than grader
            and grade differs.
    """
    by_name: defaultdict[str, list[Label]] = defaultdict(list)
    for name, label in labels:
        by_name[name].append(replace(label, key=name))  # one photograph, however its rows spell it
    merged: list[NamedLabel] = []
    readings: dict[str, tuple[Reading, ...]] = {}
    faults: list[str] = []
    repeated: list[str] = []
    for name, group in by_name.items():
        if len({label.grader for label in group}) == 1:
            merged += [(name, label) for label in group]
            continue
        rows = sorted(dict.fromkeys(group), key=lambda row: row.grader)
        if len(rows) < len(group):
            repeated.append(name)
        fault = _fault(rows)
        if fault:
            faults.append(f"{name} ({fault})")
            continue
        graded = tuple(Reading(row.grader, row.grade) for row in rows if row.grade is not None)
        if len(graded) > 1:
            readings[name] = graded
        merged.append((name, _merged_label(rows, graded)))
    if faults:
        raise DataError(
            f"photographs whose readings contradict each other: {shortlist(faults)}",
            where=where,
            todo="give each row its grader, each grader one row per photograph, and everything else the same; or set "
            'dataset.folder.columns.grader to "", so that one row per photograph is expected',
        )
    warning = f"readings that repeat another word for word, counted once: {shortlist(repeated)}"
    return MergedReadings(merged, readings, (warning,) if repeated else ())


def merge_repeated_rows(labels: Iterable[NamedLabel], *, where: str) -> tuple[dict[str, Label], tuple[str, ...]]:
    """One label per name. A name that occurs twice with equal labels counts once, with a warning.

    Raises:
        DataError: A name occurs twice with different labels; only the user knows which is right.
    """
    by_name: defaultdict[str, list[Label]] = defaultdict(list)
    for name, label in labels:
        by_name[name].append(label)
    repeated = {name: group for name, group in by_name.items() if len(group) > 1}
    contradicting = [
        f"{name} ({_differences(group)})"
        for name, group in repeated.items()
        if len({replace(label, key=name) for label in group}) > 1
    ]
    if contradicting:
        raise DataError(
            f"photographs named twice with different labels: {shortlist(contradicting)}",
            where=where,
            todo="keep the correct row of each",
        )
    warning = f"rows that repeat another word for word, counted once: {shortlist(repeated)}"
    return {name: group[0] for name, group in by_name.items()}, (warning,) if repeated else ()


def _fault(rows: Sequence[Label]) -> str:
    """What is wrong with the rows of one photograph, or ""; graders and patients are not named."""
    if not all(row.grader for row in rows):
        return "a row without a grader"
    if len({replace(row, grader="", grade=None) for row in rows}) > 1:
        return "more than grader and grade differs"
    if len({row.grader for row in rows}) < len(rows):
        return "one grader with two grades"
    return ""


def _merged_label(rows: Sequence[Label], graded: Sequence[Reading]) -> Label:
    graders = [reading.grader for reading in graded] or [row.grader for row in rows]
    grade = median_grade([reading.grade for reading in graded]) if graded else None
    return replace(rows[0], grade=grade, grader=_SEPARATOR.join(graders))


def _differences(group: Sequence[Label]) -> str:
    """The labels of one photograph's rows; of patients only whether they differ, since some clinics' ids are names."""
    patients = {label.patient_id for label in group}
    return " / ".join(map(_describe, group)) + ("; the patients differ" if len(patients) > 1 else "")


def _describe(label: Label) -> str:
    grade = f"grade {'none' if label.grade is None else label.grade}"
    others = (label.visit, label.field, label.grader, label.site, label.camera, label.official_split)
    return " ".join(filter(None, (grade, label.eye.value, *others)))
