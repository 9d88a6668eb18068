"""Makes the manifest, one row per photograph, and the report of what came in."""

import errno
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.intake.image_ids import check_ids
from dr_pipeline.intake.records import Intake, listed
from dr_pipeline.progress import progress
from dr_pipeline.schema import GRADE_NAMES, GRADES, MANIFEST_VERSION, RESEARCH_USE

INTAKE_REPORT_VERSION = 1
# Hashing lets go of the interpreter lock and often waits for a disk; more threads only queue for it.
_MAX_THREADS = 8


def manifest_rows(intake: Intake, root: Path, *, source: str) -> list[dict[str, Any]]:
    """The manifest, sorted by image id, with the sha256 of each file's bytes.

    Args:
        intake: What the adapter found.
        root: The folder that the records' paths are relative to.
        source: The adapter's name.

    Raises:
        DataError: There is no photograph, ids collide, or files cannot be read.
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
    digests = _digests(root, [record.path for record in records])
    return [
        {
            "schema_version": MANIFEST_VERSION,
            **asdict(record),
            "sha256": digest,
            "pixel_sha256": "",
            "width": "",
            "height": "",
            "source": source,
            "duplicate_cluster": "",
            "excluded": 0,
            "exclusion_reason": "",
        }
        for record, digest in zip(records, digests, strict=True)
    ]


def intake_report(intake: Intake, *, source: str) -> dict[str, Any]:
    """What reports/intake.json holds: counts, orphans, warnings, whether patients are known, provenance.

    Raises:
        DataError: Not one photograph has a grade.
    """
    grades = Counter(record.grade for record in intake.records)
    ungraded = grades.pop(None, 0)
    if not grades:
        raise DataError("not one photograph has a grade", where=source, todo="check the label table's grade column")
    without_patient = sum(not record.patient_id for record in intake.records)
    return {
        "schema_version": INTAKE_REPORT_VERSION,
        "research_use": RESEARCH_USE,
        "adapter": source,
        "provenance": asdict(intake.provenance),
        "photographs": len(intake.records),
        "grades": {str(grade): grades[grade] for grade in GRADES},
        "ungraded": ungraded,
        "patient_ids": {"known": without_patient == 0, "photographs_without": without_patient},
        "orphans": {"rows": list(intake.orphan_rows), "files": list(intake.orphan_files)},
        "hidden_files": intake.hidden_files,
        "other_files": intake.other_files,
        "warnings": [
            *intake.warnings,
            *_grade_warnings(grades, ungraded),
            *_patient_warnings(without_patient, len(intake.records)),
        ],
    }


def _grade_warnings(grades: Counter[int | None], ungraded: int) -> list[str]:
    absent = [
        f"grade {grade} ({GRADE_NAMES[grade]}) is absent from the whole data set: no figure can speak of it"
        for grade in GRADES
        if not grades[grade]
    ]
    return absent + ([f"{ungraded} photographs have no grade and take no part in training or figures"] * bool(ungraded))


def _patient_warnings(without: int, total: int) -> list[str]:
    if not without:
        return []
    who = "patient ids are unknown" if without == total else f"{without} of {total} photographs have no patient id"
    return [f"{who}: two eyes of one person may stand on both sides of a split"]


def _digests(root: Path, paths: Sequence[str]) -> list[str]:
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        results = progress(pool.map(lambda path: _digest(root / path), paths), label="hashing", total=len(paths))
        digests = list(results)
    failures = [f"{path}: {d.strerror}" for path, d in zip(paths, digests, strict=True) if isinstance(d, OSError)]
    if failures:
        raise DataError(
            f"photographs that cannot be read: {listed(failures)}",
            where=str(root),
            todo="give yourself the right to read them, or mend broken links",
        )
    return [digest for digest in digests if isinstance(digest, str)]


def _digest(path: Path) -> str | OSError:
    if path.exists() and not path.is_file():
        return OSError(errno.EINVAL, "no regular file")  # reading a named pipe would wait for ever
    try:
        return sha256_file(path)
    except OSError as error:
        return error
