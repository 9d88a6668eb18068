"""Patient, eye, visit, field, site and official part from a photograph's path, by the pattern that the user declares.

The pattern is a regular expression of Python's `re`, searched in the path below the root (`2024/p12_OD_1.jpg`). It is
run as given: a nested repetition such as `(\\w+)*_` can take exponential time on a name that it does not match. Paths
are short, so that an ordinary pattern takes microseconds.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.intake.coded_values import PLAIN, CodedValues
from dr_pipeline.intake.records import Record, shortlist
from dr_pipeline.params.section import closest

_WHERE = "params.yaml, dataset.folder.name_pattern"
# The pattern's groups and the records' attributes that they fill.
GROUPS = {
    "patient": "patient_id",
    "eye": "eye",
    "visit": "visit",
    "field": "field",
    "site": "site",
    "part": "official_split",
}


def compile_pattern(text: str, *, where: str = _WHERE) -> re.Pattern[str]:
    """Checks the pattern of params.yaml; `where` is its key, for errors.

    Raises:
        ParamsError: It is not a regular expression, has no named group, or has one that is not in `GROUPS`.
    """
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ParamsError(
            f"{text!r} is not a regular expression: {error}",
            where=where,
            todo="see https://docs.python.org/3/library/re.html",
        ) from None
    for group in pattern.groupindex:
        if group not in GROUPS:
            raise ParamsError(
                f"the pattern has an unknown group {group!r}{closest(group, GROUPS)}",
                where=where,
                todo=f"groups are {', '.join(GROUPS)}",
            )
    if not pattern.groupindex:
        raise ParamsError(
            "the pattern has no named group",
            where=where,
            todo="write for example (?P<patient>[^/_]+)_(?P<eye>left|right)",
        )
    return pattern


def compile_patient_pattern(text: str, *, where: str) -> re.Pattern[str]:
    """As `compile_pattern`, for a pattern of which only the patient is read.

    Raises:
        ParamsError: As `compile_pattern`, or it has no group `patient`.
    """
    pattern = compile_pattern(text, where=where)
    if "patient" not in pattern.groupindex:
        raise ParamsError(
            "the pattern has no group 'patient'", where=where, todo="write for example (?P<patient>[^/_]+)_"
        )
    return pattern


def patient_in(path: str, pattern: re.Pattern[str]) -> str:
    """The patient that a path names; empty where the pattern is not found in it."""
    match = pattern.search(path)
    return "" if match is None else match["patient"] or ""


def parse_names(
    records: Iterable[Record], pattern: re.Pattern[str], values: CodedValues = PLAIN
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Fills from the names what the table left empty; `values` says what its eye and part mean.

    Returns:
        The records, and the paths that do not match: the pattern is not found in them, or its eye or part is none.

    Raises:
        DataError: A table and a name contradict each other; only the user knows which is right.
    """
    filled: list[Record] = []
    unparsed: list[str] = []
    contradicting: list[str] = []
    for record in records:
        parsed = _parse(record.path, pattern, values)
        if parsed is None:
            unparsed.append(record.path)
            filled.append(record)
            continue
        contradicting += [
            f"{record.path}: {_difference(attribute, getattr(record, attribute), value)}"
            for attribute, value in parsed.items()
            if getattr(record, attribute) not in ("", value)
        ]
        filled.append(replace(record, **{key: value for key, value in parsed.items() if not getattr(record, key)}))
    if contradicting:
        raise DataError(
            f"names and table contradict each other: {shortlist(contradicting)}",
            where=_WHERE,
            todo="correct the table or the pattern",
        )
    return tuple(filled), tuple(unparsed)


def _difference(attribute: str, in_table: str, in_name: str) -> str:
    if attribute == "patient_id":
        return "the patient differs"  # some clinics' ids are names, which no message repeats
    return f"{attribute} {str(in_table)!r} in the table, {str(in_name)!r} in the name"


def _parse(path: str, pattern: re.Pattern[str], values: CodedValues) -> dict[str, Any] | None:
    """The path's values by the record's attribute; None where the path does not match."""
    match = pattern.search(path)
    if match is None:
        return None
    parsed: dict[str, Any] = {GROUPS[group]: text for group, text in match.groupdict().items() if text}
    for attribute, meaning in (("eye", values.eye), ("official_split", values.part)):
        if attribute in parsed:
            parsed[attribute] = meaning(parsed[attribute])
    return None if None in parsed.values() else parsed
