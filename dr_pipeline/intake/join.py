"""Joins label rows and photographs by name, never by order; the usual layout of a data set as one call."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.intake.coded_values import PLAIN, CodedValues
from dr_pipeline.intake.label_table import Label, LabelTable, read_labels
from dr_pipeline.intake.merge_readings import NamedLabel, merge_readings, merge_repeated_rows
from dr_pipeline.intake.moved_paths import leads_elsewhere, match_moved
from dr_pipeline.intake.photographs import (
    Listing,
    list_photographs,
    natural_key,
    one_spelling,
    relative_path,
    stems_as_ids,
)
from dr_pipeline.intake.records import Intake, Provenance, Reading, Record, shortlist

# For users who have downloaded only some of a set's official parts; the split refuses an official part that is empty.
WITHOUT_PARTS = "set split.test: share and split.validation: folds in params.yaml"
NameIds = Callable[[Sequence[str]], Mapping[str, str]]
# How a table may name a photograph, strictest first; the first spelling that matches a photograph counts.
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda path: path,
    lambda path: one_spelling(path),
    lambda path: one_spelling(str(PurePosixPath(path).with_suffix(""))),
    lambda path: one_spelling(PurePosixPath(path).name),
    lambda path: one_spelling(PurePosixPath(path).stem),
)


def read_table_layout(
    root: Path,
    *,
    photographs: Path,
    table: Path,
    columns: Mapping[str, str],
    provenance: Provenance,
    name_ids: NameIds = stems_as_ids,
    official_split: str = "",
    values: CodedValues = PLAIN,
    rules: FolderRules = FolderRules(),  # noqa: B008 - frozen
) -> Intake:
    """Reads the usual layout: a folder of photographs and a table that names them.

    Args:
        root: The data set's root.
        photographs: Folder of the photographs, `root` or in it.
        table: The CSV file.
        columns: As in `read_labels`.
        provenance: Of the data set.
        name_ids: From relative paths to image ids.
        official_split: The part of the data set that all of them belong to; empty where it has no parts.
        values: What the table's cells mean.
        rules: What is left out of the folder, see `rules_of`.

    Raises:
        DataError: The table, a column or the folder is missing or wrong, see `read_labels`, `list_photographs`,
            `join_labels`.
    """
    listing = list_photographs(root, photographs, rules=rules)
    labels = read_labels(table, columns, values=values)
    intake = join_labels(listing, labels, where=str(table), provenance=provenance, name_ids=name_ids)
    if not official_split:
        return intake
    return replace(intake, records=tuple(replace(record, official_split=official_split) for record in intake.records))


def join_labels(
    listing: Listing, table: LabelTable, *, where: str, provenance: Provenance, name_ids: NameIds = stems_as_ids
) -> Intake:
    """Finds each row's photograph by its path, its path without suffix, its file name, or its name without suffix.

    Case is ignored unless two photographs differ in nothing else. Rows that name a photograph as it lay elsewhere are
    matched by `match_moved`. Rows of several graders are readings, see `merge_readings`.

    Args:
        listing: The photographs.
        table: The rows; `key` names the photograph.
        where: The label table, for messages.
        provenance: Of the data set.
        name_ids: From relative paths to image ids.

    Raises:
        DataError: A row's name leads outside the root and no photograph fits its end, it matches several photographs,
            or rows contradict each other.
    """
    matches = _match(table.labels, listing.photographs, where=where)
    merged = merge_readings(matches.pairs, where=where)
    by_path, warnings = merge_repeated_rows(merged.labels, where=where)
    image_ids = name_ids(list(by_path))
    return Intake(
        records=tuple(
            _record(image_ids[path], path, label, merged.readings.get(path, ())) for path, label in by_path.items()
        ),
        provenance=provenance,
        orphan_rows=matches.orphan_rows,
        orphan_files=(*(path for path in listing.photographs if path not in by_path), *listing.unnameable),
        warnings=(*table.warnings, *matches.warnings, *merged.warnings, *warnings, *listing.warnings()),
        left_aside=listing.left_aside,
    )


def concatenate(parts: Iterable[Intake]) -> Intake:
    """Several parts of one data set as one; the provenance is that of the first."""
    parts = list(parts)
    return Intake(
        records=tuple(record for part in parts for record in part.records),
        provenance=parts[0].provenance,
        orphan_rows=tuple(row for part in parts for row in part.orphan_rows),
        orphan_files=tuple(path for part in parts for path in part.orphan_files),
        warnings=tuple(warning for part in parts for warning in part.warnings),
        left_aside=sum((Counter(part.left_aside) for part in parts), Counter()),
        unparsed=tuple(path for part in parts for path in part.unparsed),
    )


class _Matches(NamedTuple):
    """(path, label) of each row that has a photograph; the names of the others in natural order; warnings."""

    pairs: list[NamedLabel]
    orphan_rows: tuple[str, ...]
    warnings: tuple[str, ...]


def _match(rows: Sequence[Label], photographs: Sequence[str], *, where: str) -> _Matches:
    find = _Finder(photographs)
    candidates = {row.key: find(row.key) for row in rows}
    moved = match_moved(
        (key for key, paths in candidates.items() if not paths),
        photographs,
        all_keys=candidates.keys(),
        claimed={path for paths in candidates.values() for path in paths},
    )
    candidates |= moved.candidates
    ambiguous = [f"{key} ({', '.join(paths[:3])})" for key, paths in candidates.items() if len(paths) > 1]
    if ambiguous:
        raise DataError(
            f"names that match several photographs: {shortlist(ambiguous)}",
            where=where,
            todo="write the path below dataset.root, with its suffix",
        )
    orphans = [key for key, paths in candidates.items() if not paths]
    elsewhere = [key for key in orphans if leads_elsewhere(key)]
    if elsewhere and not moved.candidates:
        raise DataError(
            f"names that lead out of the data set's folder: {shortlist(elsewhere)}; their ends fit no photograph",
            where=where,
            todo="name photographs relative to dataset.root",
        )
    pairs = [(candidates[row.key][0], row) for row in rows if candidates[row.key]]
    return _Matches(pairs, tuple(sorted(orphans, key=natural_key)), moved.warnings)


def _record(image_id: str, path: str, label: Label, readings: tuple[Reading, ...]) -> Record:
    return Record(
        image_id,
        path,
        label.grade,
        patient_id=label.patient_id,
        eye=label.eye,
        visit=label.visit,
        field=label.field,
        grader=label.grader,
        site=label.site,
        camera=label.camera,
        official_split=label.official_split,
        readings=readings,
    )


class _Finder:
    def __init__(self, photographs: Sequence[str]) -> None:
        self._tables: list[defaultdict[str, list[str]]] = []
        for spelling in _SPELLINGS:
            table: defaultdict[str, list[str]] = defaultdict(list)
            for path in photographs:
                table[spelling(path)].append(path)
            self._tables.append(table)

    def __call__(self, key: str) -> list[str]:
        if leads_elsewhere(key):
            return []
        name = str(relative_path(key))
        for number, table in enumerate(self._tables):
            key = name if number == 0 else one_spelling(name)
            if key in table:
                return table[key]
        return []
