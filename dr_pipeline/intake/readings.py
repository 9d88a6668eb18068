"""Several graders' rows of one photograph become its readings, and the photograph gets their median."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from dr_pipeline.errors import DataError
from dr_pipeline.intake.labels import Label
from dr_pipeline.intake.records import Reading, listed

_GRADER = "grader"
# Between the graders of one photograph, in the manifest.
_BETWEEN = "; "


class Merged(NamedTuple):
    """Pairs of name and label, one of each photograph that several read; the readings by name; warnings."""

    pairs: list[tuple[str, Label]]
    readings: dict[str, tuple[Reading, ...]]
    warnings: tuple[str, ...]


def median_grade(grades: Sequence[int]) -> int:
    """The median; of an even number of readings whose middle two differ, the higher one.

    On an ordered scale the median has the least sum of distances from the readings, and it is the majority wherever
    there is one. Downwards, a tie would teach to miss what one of two readers saw.

    Args:
        grades: At least one.
    """
    return sorted(grades)[len(grades) // 2]


def merge_readings(pairs: Iterable[tuple[str, Label]], *, where: str) -> Merged:
    """Merges the rows of each photograph that differ in their grader.

    Without a column of graders, or with one grader for all, nothing is merged: `settle` judges repeated rows. A row
    without a grade is no reading; a photograph that none of its graders graded has no grade. Rows that repeat
    another word for word count once, with a warning.

    Args:
        pairs: Name and label of each row.
        where: The label table, for messages.

    Returns:
        Each photograph's rows as one where they were merged, else as they were. Readings stand for photographs with at
        least two of them, sorted by grader.

    Raises:
        DataError: Of rows that differ in their grader one names none, one grader gave two grades, or something else
            than grader and grade differs too.
    """
    by_name: defaultdict[str, list[Label]] = defaultdict(list)
    for name, label in pairs:
        by_name[name].append(replace(label, key=name))  # one photograph, however its rows spell it
    merged: list[tuple[str, Label]] = []
    readings: dict[str, tuple[Reading, ...]] = {}
    faults: list[str] = []
    repeated: list[str] = []
    for name, labels in by_name.items():
        if len({_grader(label) for label in labels}) == 1:
            merged += [(name, label) for label in labels]
            continue
        rows = sorted(dict.fromkeys(labels), key=_grader)
        repeated += [name] if len(rows) < len(labels) else []
        fault = _fault(rows)
        if fault:
            faults.append(f"{name} ({fault})")
            continue
        given = tuple(Reading(_grader(row), row.grade) for row in rows if row.grade is not None)
        if len(given) > 1:
            readings[name] = given
        merged.append((name, _one(rows, given)))
    if faults:
        raise DataError(
            f"photographs whose readings contradict each other: {listed(faults)}",
            where=where,
            todo="give each row its grader, each grader one row per photograph, and everything else the same; or take "
            'the graders\' column out of dataset.folder.columns (""), so that one row per photograph is expected',
        )
    warnings = (f"readings that repeat another word for word, counted once: {listed(repeated)}",) if repeated else ()
    return Merged(merged, readings, warnings)


def _fault(rows: Sequence[Label]) -> str:
    """What is wrong with rows of one photograph; empty where nothing is. Graders and patients stay unnamed."""
    graders = [_grader(row) for row in rows]
    if not all(graders):
        return "a row without a grader"
    if len({(row.eye, _others(row)) for row in rows}) > 1:
        return "more than grader and grade differs"
    if len(set(graders)) < len(graders):
        return "one grader with two grades"
    return ""


def _one(rows: Sequence[Label], given: Sequence[Reading]) -> Label:
    graders = _BETWEEN.join(reading.grader for reading in given) or _BETWEEN.join(map(_grader, rows))
    return replace(
        rows[0],
        grade=median_grade([reading.grade for reading in given]) if given else None,
        others=tuple((name, graders if name == _GRADER else text) for name, text in rows[0].others),
    )


def _grader(label: Label) -> str:
    return dict(label.others).get(_GRADER, "")


def _others(label: Label) -> tuple[tuple[str, str], ...]:
    return tuple((name, text) for name, text in label.others if name != _GRADER)
