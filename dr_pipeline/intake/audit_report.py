"""reports/audit.json: every finding, what was left out and why, and how often each grade would be rejected."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dr_pipeline.intake.audit import Findings, Row
from dr_pipeline.params.audit import Audit
from dr_pipeline.schema import GRADES, RESEARCH_USE, Status

AUDIT_REPORT_VERSION = 1


def audit_report(
    manifest: Sequence[Row],
    index: Mapping[str, Row],
    findings: Findings,
    excluded: Mapping[str, str],
    actions: Audit,
    intake: Mapping[str, Any],
) -> dict[str, Any]:
    """What reports/audit.json holds.

    Args:
        manifest: Rows of data/manifest.csv.
        index: Rows of data/canvases/index.csv by image id.
        findings: From `find`.
        excluded: From `exclusions`.
        actions: What params.yaml says to do with each kind.
        intake: reports/intake.json; its warnings and what it knows of patients are passed on.
    """
    rows = {row["image_id"]: row for row in manifest}
    counts = Counter(row["grade"] for row in manifest)
    return {
        "schema_version": AUDIT_REPORT_VERSION,
        "research_use": RESEARCH_USE,
        "photographs": len(manifest),
        "used": len(manifest) - len(excluded),
        "actions": actions.model_dump(),
        "counts": findings.counts(),
        "identical": [list(group) for group in findings.identical],
        "contradictions": [
            {
                "image_ids": list(group),
                "grades": {name: int(rows[name]["grade"]) for name in group if rows[name]["grade"]},
            }
            for group in findings.contradictions
        ],
        "cross_patient": [
            {"image_ids": list(group), "patients": {name: rows[name]["patient_id"] for name in group}}
            for group in findings.cross_patient
        ],
        "orphans": {"rows": list(findings.orphan_rows), "files": list(findings.orphan_files)},
        "unreadable": [
            {
                "image_id": name,
                "path": rows[name]["path"],
                "status": index[name]["status"],
                "reason": index[name]["reason"],
            }
            for name in findings.unreadable
        ],
        "grades": {
            "counts": {str(grade): counts[str(grade)] for grade in GRADES},
            "absent": [grade for grade in GRADES if not counts[str(grade)]],
            "ungraded": counts[""],
        },
        "rejection_by_grade": rejection_by_grade(manifest, index),
        "excluded": [{"image_id": name, "reason": reason} for name, reason in excluded.items()],
        "patient_ids": intake["patient_ids"],
        "warnings": list(intake["warnings"]),
    }


def rejection_by_grade(manifest: Iterable[Row], index: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """How many photographs of each grade would not be graded: a gate that drops the sickest eyes must show.

    Returns:
        By grade: n, the numbers ungradable, not_fundus and failed, and the share of all three (0 where n is 0).
    """
    statuses: dict[str, Counter[str]] = {str(grade): Counter() for grade in GRADES}
    for row in manifest:
        if row["grade"]:
            statuses[row["grade"]][index[row["image_id"]]["status"]] += 1
    rejected = (Status.UNGRADABLE, Status.NOT_FUNDUS, Status.FAILED)
    return {
        grade: {
            "n": count.total(),
            **{str(status): count[status] for status in rejected},
            "share": round(sum(count[status] for status in rejected) / max(count.total(), 1), 4),
        }
        for grade, count in statuses.items()
    }
