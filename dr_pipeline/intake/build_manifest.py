"""Builds the manifest, one row per photograph, and the table of readings."""

import errno
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.intake.photographs import check_ids
from dr_pipeline.intake.records import Intake, Record, shortlist
from dr_pipeline.logs import progress
from dr_pipeline.machine import usable_cores
from dr_pipeline.schema import GRADES, Eye, Role, Split
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.readings import ReadingRow

# Hashing releases the interpreter lock and often waits for a disk; more threads only queue for it.
_MAX_THREADS = 8
_ALLOWED: dict[str, frozenset[Any]] = {
    "grade": frozenset({None, *GRADES}),
    "referable": frozenset({None, False, True}),
    "eye": frozenset(Eye),
    "official_split": frozenset({"", *Split}),
}


@dataclass(frozen=True)
class Unreadable:
    """One photograph whose bytes cannot be read; `reason` is the operating system's."""

    image_id: str
    path: str
    reason: str


def manifest_rows(
    intake: Intake, root: Path, *, source: str, role: Role = Role.ALL
) -> tuple[list[ManifestRow], tuple[Unreadable, ...]]:
    """The manifest, sorted by image id, with the sha256 of each file's bytes.

    Args:
        intake: The adapter's result.
        root: The folder that the records' paths are relative to.
        source: The adapter's name, or that of one of several sources.
        role: What that source is for.

    Returns:
        A row per record, and the photographs that cannot be read: their rows have an empty sha256.

    Raises:
        DataError: There is no photograph, ids collide, or a value is not allowed in its column.
    """
    if not intake.records:
        raise DataError(
            "no row of the label table has its photograph; the rows name "
            f"{shortlist(intake.orphan_rows)}, the folder contains {shortlist(intake.orphan_files)}",
            where=str(root),
            todo="name the photographs in the table by their path below dataset.root",
        )
    records = sorted(intake.records, key=lambda record: record.image_id)
    check_ids((record.image_id for record in records), where=str(root))
    _check_values(records, source)
    digests = _digests(root, [record.path for record in records])
    rows = [
        _row(record, source=source, role=role, sha256="" if isinstance(digest, OSError) else digest)
        for record, digest in zip(records, digests, strict=True)
    ]
    unreadable = tuple(
        Unreadable(record.image_id, record.path, digest.strerror or type(digest).__name__)
        for record, digest in zip(records, digests, strict=True)
        if isinstance(digest, OSError)
    )
    return rows, unreadable


def reading_rows(intake: Intake) -> list[ReadingRow]:
    """The graders' grades of photographs that several read, sorted by image id and grader."""
    return [
        ReadingRow(image_id=record.image_id, grader=reading.grader, grade=reading.grade)
        for record in sorted(intake.records, key=lambda record: record.image_id)
        for reading in record.readings
    ]


def _row(record: Record, *, source: str, role: Role, sha256: str) -> ManifestRow:
    return ManifestRow(
        image_id=record.image_id,
        path=record.path,
        sha256=sha256,
        patient_id=record.patient_id,
        eye=record.eye,
        visit=record.visit,
        field=record.field,
        grade=record.grade,
        referable=record.referable,
        grader=record.grader,
        site=record.site,
        camera=record.camera,
        pixel_spacing_mm=record.pixel_spacing_mm,
        official_split=Split(record.official_split) if record.official_split else None,
        source=source,
        role=role,
    )


def _check_values(records: Iterable[Record], source: str) -> None:
    wrong = [
        f"{record.image_id}: {column} {getattr(record, column)!r}"
        for record in records
        for column, allowed in _ALLOWED.items()
        if getattr(record, column) not in allowed
    ]
    if wrong:
        raise DataError(
            f"values that the manifest does not allow: {shortlist(wrong)}", where=source, todo="correct the label table"
        )


def _digests(root: Path, paths: Sequence[str]) -> list[str | OSError]:
    with ThreadPoolExecutor(min(_MAX_THREADS, usable_cores())) as pool:
        return list(progress(pool.map(lambda path: _digest(root / path), paths), label="hashing", total=len(paths)))


def _digest(path: Path) -> str | OSError:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return OSError(errno.EINVAL, "no regular file")  # reading a named pipe would block forever
        return sha256_file(path)
    except OSError as error:
        return error
