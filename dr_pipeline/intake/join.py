"""Joins label rows and photographs by name, never by order."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.intake.labels import Label, settle
from dr_pipeline.intake.listing import natural_key, relative_path
from dr_pipeline.intake.readings import merge_readings
from dr_pipeline.intake.records import Reading, Record, listed

# How a table may name a photograph, strictest first; the first that fits some photograph counts.
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda path: path,
    lambda path: _plain(path),
    lambda path: _plain(str(PurePosixPath(path).with_suffix(""))),
    lambda path: _plain(PurePosixPath(path).name),
    lambda path: _plain(PurePosixPath(path).stem),
)


@dataclass(frozen=True)
class Joined:
    """Attributes: labels and readings by relative path; rows without a file; files without a row; warnings."""

    labels: Mapping[str, Label]
    readings: Mapping[str, tuple[Reading, ...]]
    orphan_rows: tuple[str, ...]
    orphan_files: tuple[str, ...]
    warnings: tuple[str, ...]


def join(labels: Iterable[Label], photographs: Sequence[str], *, where: str) -> Joined:
    """Finds each row's photograph by its path, its path without suffix, its file name, or its name without suffix.

    Upper and lower case are not told apart unless two photographs differ in nothing else.

    Args:
        labels: Rows; `key` names the photograph.
        photographs: Paths relative to the root.
        where: The label table, for messages.

    Raises:
        DataError: A row's name leads out of the root or fits several photographs, or rows contradict each other. Rows
            of several graders are readings, see `merge_readings`.
    """
    rows = list(labels)
    escaping = [row.key for row in rows if relative_path(row.key) is None]
    if escaping:
        raise DataError(
            f"names that lead out of the data set's folder: {listed(escaping)}",
            where=where,
            todo="name photographs relative to dataset.root",
        )
    found = _Finder(photographs)
    pairs: list[tuple[str, Label]] = []
    orphans: list[str] = []
    ambiguous: list[str] = []
    for row in rows:
        candidates = found(str(relative_path(row.key)))
        if len(candidates) == 1:
            pairs.append((candidates[0], row))
        elif candidates:
            ambiguous.append(f"{row.key} ({', '.join(candidates[:3])})")
        else:
            orphans.append(row.key)
    if ambiguous:
        raise DataError(
            f"names that fit several photographs: {listed(ambiguous)}",
            where=where,
            todo="write the path below dataset.root, with its suffix",
        )
    merged = merge_readings(pairs, where=where)
    by_path, warnings = settle(merged.pairs, where=where)
    without_row = tuple(path for path in photographs if path not in by_path)
    orphan_rows = tuple(sorted(set(orphans), key=natural_key))
    return Joined(by_path, merged.readings, orphan_rows, without_row, (*merged.warnings, *warnings))


def records(joined: Joined, image_ids: Mapping[str, str]) -> tuple[Record, ...]:
    """One record per photograph that has a row."""
    made = []
    for path, label in joined.labels.items():
        others: dict[str, Any] = dict(label.others)
        readings = joined.readings.get(path, ())
        made.append(Record(image_ids[path], path, label.grade, eye=label.eye, readings=readings, **others))
    return tuple(made)


class _Finder:
    def __init__(self, photographs: Sequence[str]) -> None:
        self._tables: list[defaultdict[str, list[str]]] = []
        for spelling in _SPELLINGS:
            table: defaultdict[str, list[str]] = defaultdict(list)
            for path in photographs:
                table[spelling(path)].append(path)
            self._tables.append(table)

    def __call__(self, name: str) -> list[str]:
        for number, table in enumerate(self._tables):
            key = name if number == 0 else _plain(name)
            if key in table:
                return table[key]
        return []


def _plain(text: str) -> str:
    """One spelling: 'é' is two characters in macOS's file names and usually one in a table."""
    return unicodedata.normalize("NFC", text).casefold()
