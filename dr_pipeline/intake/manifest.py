"""Makes the manifest, one row per photograph, and the report of what came in."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.intake.image_ids import check_ids
from dr_pipeline.intake.records import Intake, Record, listed
from dr_pipeline.logs import progress
from dr_pipeline.schema import GRADE_NAMES, GRADES, MANIFEST_VERSION, READINGS_VERSION, RESEARCH_USE, Eye, Split

INTAKE_REPORT_VERSION = 1
# Hashing lets go of the interpreter lock and often waits for a disk; more threads only queue for it.
_MAX_THREADS = 8
_ALLOWED: dict[str, frozenset[Any]] = {
    "grade": frozenset({None, *GRADES}),
    "referable": frozenset({None, 0, 1}),
    "eye": frozenset(Eye),
    "official_split": frozenset({"", *Split}),
}


@dataclass(frozen=True)
class Unreadable:
    """One photograph whose bytes cannot be read; `reason` is the system's own."""

    image_id: str
    path: str
    reason: str


def manifest_rows(intake: Intake, root: Path, *, source: str) -> tuple[list[dict[str, Any]], tuple[Unreadable, ...]]:
    """The manifest, sorted by image id, with the sha256 of each file's bytes.

    Args:
        intake: What the adapter found.
        root: The folder that the records' paths are relative to.
        source: The adapter's name.

    Returns:
        A row per record, and the photographs that cannot be read: their rows have an empty sha256.

    Raises:
        DataError: There is no photograph, ids collide, or a value is none that its column can hold.
    """
    if not intake.records:
        raise DataError(
            "no row of the label table has its photograph; the rows name "
            f"{listed(intake.orphan_rows)}, the folder holds {listed(intake.orphan_files)}",
            where=str(root),
            todo="name the photographs in the table by their path below dataset.root",
        )
    records = sorted(intake.records, key=lambda record: record.image_id)
    check_ids((record.image_id for record in records), where=str(root))
    _check_values(records, source)
    digests = _digests(root, [record.path for record in records])
    rows = [
        {
            "schema_version": MANIFEST_VERSION,
            **{column: value for column, value in vars(record).items() if column != "readings"},
            "sha256": "" if isinstance(digest, OSError) else digest,
            "pixel_sha256": "",
            "perceptual_hash": "",
            "width": "",
            "height": "",
            "source": source,
            "duplicate_cluster": "",
            "excluded": 0,
            "exclusion_reason": "",
        }
        for record, digest in zip(records, digests, strict=True)
    ]
    unreadable = tuple(
        Unreadable(record.image_id, record.path, digest.strerror or type(digest).__name__)
        for record, digest in zip(records, digests, strict=True)
        if isinstance(digest, OSError)
    )
    return rows, unreadable


def reading_rows(intake: Intake) -> list[dict[str, Any]]:
    """The graders' grades of photographs that several read, sorted by image id and grader."""
    return [
        {"schema_version": READINGS_VERSION, "image_id": record.image_id, "grader": grader, "grade": grade}
        for record in sorted(intake.records, key=lambda record: record.image_id)
        for grader, grade in record.readings
    ]


def intake_report(intake: Intake, *, source: str, unreadable: Sequence[Unreadable] = ()) -> dict[str, Any]:
    """What reports/intake.json holds: counts, orphans, warnings, whether patients are known, provenance.

    Raises:
        DataError: Not one photograph has a grade, or says whether it is referable.
    """
    grades = Counter(record.grade for record in intake.records)
    ungraded = grades.pop(None, 0)
    referable = Counter(record.referable for record in intake.records if record.referable is not None)
    if not grades and not referable:
        raise DataError("not one photograph has a grade", where=source, todo="check the label table's grade column")
    official = Counter(record.official_split for record in intake.records if record.official_split)
    without_patient = sum(not record.patient_id for record in intake.records)
    return {
        "schema_version": INTAKE_REPORT_VERSION,
        "research_use": RESEARCH_USE,
        "adapter": source,
        "provenance": asdict(intake.provenance),
        "photographs": len(intake.records),
        "grades": {str(grade): grades[grade] for grade in GRADES},
        "ungraded": ungraded,
        "referable": {str(value): referable[value] for value in (0, 1)},
        "readings": _readings(intake),
        "official_split": {part.value: official[part] for part in Split},
        "patient_ids": {"known": without_patient == 0, "photographs_without": without_patient},
        "orphans": {"rows": list(intake.orphan_rows), "files": list(intake.orphan_files)},
        "unreadable": [asdict(photograph) for photograph in unreadable],
        "unparsed": list(intake.unparsed),
        "identity": [{"image_id": image_id, "fields": list(fields)} for image_id, fields in intake.identity],
        "hidden_files": intake.hidden_files,
        "other_files": intake.other_files,
        "warnings": [
            *intake.warnings,
            *_file_warnings(intake, unreadable),
            *_grade_warnings(grades, ungraded),
            *_patient_warnings(without_patient, len(intake.records)),
        ],
    }


def _readings(intake: Intake) -> dict[str, int]:
    """Photographs that several graders read, their readings, and how many photographs all of them graded alike."""
    graded = [{reading.grade for reading in record.readings} for record in intake.records if record.readings]
    return {
        "photographs": len(graded),
        "readings": sum(len(record.readings) for record in intake.records),
        "unanimous": sum(len(grades) == 1 for grades in graded),
    }


def _file_warnings(intake: Intake, unreadable: Sequence[Unreadable]) -> list[str]:
    warnings = []
    if unreadable:
        told = listed(f"{photograph.path}: {photograph.reason}" for photograph in unreadable)
        warnings.append(f"photographs that cannot be read: {told}; give yourself the right to, or mend broken links")
    if intake.unparsed:
        warnings.append(f"file names that do not tell a patient or an eye as declared: {listed(intake.unparsed)}")
    return warnings


def _grade_warnings(grades: Counter[int | None], ungraded: int) -> list[str]:
    absent = [
        f"grade {grade} ({GRADE_NAMES[grade]}) is absent from the whole data set: no figure can speak of it"
        for grade in GRADES
        if grades and not grades[grade]
    ]
    return absent + ([f"{ungraded} photographs have no grade and take no part in training or figures"] * bool(ungraded))


def _patient_warnings(without: int, total: int) -> list[str]:
    if not without:
        return []
    who = "patient ids are unknown" if without == total else f"{without} of {total} photographs have no patient id"
    return [f"{who}: two eyes of one person may stand on both sides of a split"]


def _check_values(records: Iterable[Record], source: str) -> None:
    wrong = [
        f"{record.image_id}: {column} {getattr(record, column)!r}"
        for record in records
        for column, allowed in _ALLOWED.items()
        if getattr(record, column) not in allowed
    ]
    if wrong:
        raise DataError(
            f"values that the manifest does not know: {listed(wrong)}", where=source, todo="correct the label table"
        )


def _digests(root: Path, paths: Sequence[str]) -> list[str | OSError]:
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        return list(progress(pool.map(lambda path: _digest(root / path), paths), label="hashing", total=len(paths)))


def _digest(path: Path) -> str | OSError:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return OSError(errno.EINVAL, "no regular file")  # reading a named pipe would wait for ever
        return sha256_file(path)
    except OSError as error:
        return error
