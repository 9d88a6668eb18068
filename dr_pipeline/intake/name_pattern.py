"""Patient, eye, visit, field and site from a photograph's path, by the pattern that the user declares.

The pattern is a regular expression of Python's `re`, searched in the path below the root (`2024/p12_OD_1.jpg`). It is
the user's own and is run as it is: one that repeats a repetition, such as `(\\w+)*_`, can take for ever on a name
that it does not fit. Paths are short, so that any plain pattern takes microseconds.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.intake.labels import eye_of
from dr_pipeline.intake.records import Record, listed
from dr_pipeline.params.section import closest

_WHERE = "params.yaml, dataset.folder.name_pattern"
# The pattern's groups and the records' attributes that they fill.
GROUPS = {"patient": "patient_id", "eye": "eye", "visit": "visit", "field": "field", "site": "site"}


@dataclass(frozen=True)
class Named:
    """Attributes: the records with what their names tell; the paths that the pattern does not fit."""

    records: tuple[Record, ...]
    unparsed: tuple[str, ...]


def compile_pattern(text: str) -> re.Pattern[str]:
    """Checks the pattern of params.yaml.

    Raises:
        ParamsError: It is no regular expression, has no named group, or one of another name than `GROUPS`.
    """
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ParamsError(
            f"{text!r} is no regular expression: {error}",
            where=_WHERE,
            todo="see https://docs.python.org/3/library/re.html",
        ) from None
    for group in pattern.groupindex:
        if group not in GROUPS:
            raise ParamsError(
                f"the pattern has an unknown group {group!r}{closest(group, GROUPS)}",
                where=_WHERE,
                todo=f"groups are {', '.join(GROUPS)}",
            )
    if not pattern.groupindex:
        raise ParamsError(
            "the pattern has no named group", where=_WHERE, todo="write, say, (?P<patient>[^/_]+)_(?P<eye>left|right)"
        )
    return pattern


def with_names(records: Iterable[Record], pattern: re.Pattern[str]) -> Named:
    """Fills from the names what the table left empty.

    A path does not fit where the pattern is not found in it, or names an eye that is none.

    Raises:
        DataError: A table and a name contradict each other; nobody but the user knows which is right.
    """
    named: list[Record] = []
    unparsed: list[str] = []
    contradicting: list[str] = []
    for record in records:
        told = _told(record.path, pattern)
        if told is None:
            unparsed.append(record.path)
            named.append(record)
            continue
        contradicting += [
            f"{record.path}: {_difference(attribute, getattr(record, attribute), value)}"
            for attribute, value in told.items()
            if getattr(record, attribute) not in ("", value)
        ]
        named.append(replace(record, **{key: value for key, value in told.items() if not getattr(record, key)}))
    if contradicting:
        raise DataError(
            f"names and table contradict each other: {listed(contradicting)}",
            where=_WHERE,
            todo="correct the table or the pattern",
        )
    return Named(tuple(named), tuple(unparsed))


def _difference(attribute: str, in_table: str, in_name: str) -> str:
    if attribute == "patient_id":
        return "the patient differs"  # some clinics' ids are names, which no message repeats
    return f"{attribute} {str(in_table)!r} in the table, {str(in_name)!r} in the name"


def _told(path: str, pattern: re.Pattern[str]) -> dict[str, Any] | None:
    """What the path says, by the record's attribute; None where it does not fit."""
    match = pattern.search(path)
    if match is None:
        return None
    told: dict[str, Any] = {GROUPS[group]: text for group, text in match.groupdict().items() if text}
    if "eye" in told:
        eye = eye_of(told["eye"])
        if eye is None:
            return None
        told["eye"] = eye
    return told
