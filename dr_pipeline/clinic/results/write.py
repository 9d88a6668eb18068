"""The folder of results: photographs.csv, eyes.csv, patients.csv and results.json, which only their owner may read."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from dr_pipeline import __version__
from dr_pipeline.clinic.results.policy import Policy
from dr_pipeline.clinic.results.roll_up import Results
from dr_pipeline.clinic.results.texts import Texts
from dr_pipeline.files import canonical_json, make_private_folder, spreadsheet_safe, write_text
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.result_eyes import RESULT_EYES
from dr_pipeline.tables.result_patients import RESULT_PATIENTS
from dr_pipeline.tables.result_photographs import RESULT_PHOTOGRAPHS


def with_texts(results: Results, texts: Texts) -> Results:
    """The same results with each patient's result in plain words."""
    patients = (replace(row, text=spreadsheet_safe(texts.describe(row))) for row in results.patients)
    return replace(results, patients=tuple(patients))


def summarise(results: Results, policy: Policy, texts: Texts) -> dict[str, Any]:
    """results.json: the counts, which reconcile, and what the results depend on."""
    return {
        "schema_version": 1,
        "research_use": RESEARCH_USE,
        "dr_pipeline": __version__,
        "bundles": sorted({row.bundle_id for row in results.photographs}),
        "policy": policy.to_dict(),
        "texts": {"language": texts.language, "reviewed": texts.is_reviewed},
        "photographs": len(results.photographs),
        "photographs_by_use": _counts(row.use for row in results.photographs),
        "photographs_by_status": _counts(row.status for row in results.photographs),
        "eyes_by_status": _counts(row.status for row in results.eyes),
        "patients": len({row.patient_id for row in results.patients}),
        "examinations": len(results.patients),
        "examinations_by_decision": _counts(row.decision for row in results.patients),
        "examinations_by_urgency": _counts(row.urgency for row in results.patients if row.urgency),
        "examinations_by_reason": _counts(
            reason for row in results.patients for reason in row.reasons.split(";") if reason
        ),
        "examinations_that_need_a_human": sum(row.needs_human for row in results.patients),
    }


def result_files(out: Path) -> tuple[Path, ...]:
    """What `write_results` writes into a folder."""
    return tuple(out / name for name in ("photographs.csv", "eyes.csv", "patients.csv", "results.json"))


def write_results(out: Path, results: Results, summary: dict[str, Any]) -> tuple[Path, ...]:
    """Writes the folder; each file whole or not at all.

    Returns:
        The files.
    """
    make_private_folder(out)
    paths = result_files(out)
    RESULT_PHOTOGRAPHS.write(paths[0], results.photographs, private=True)
    RESULT_EYES.write(paths[1], results.eyes, private=True)
    RESULT_PATIENTS.write(paths[2], results.patients, private=True)
    write_text(paths[3], canonical_json(summary), private=True)
    return paths


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(str(value) for value in values).items()))
