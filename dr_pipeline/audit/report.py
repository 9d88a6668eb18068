"""reports/audit.json: every finding, what was left out and why, and how often each grade would be rejected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr_pipeline.audit.actions import action_of, counts_of
from dr_pipeline.audit.findings import KINDS, Finding
from dr_pipeline.audit.grade_counts import GradeCounts
from dr_pipeline.audit.identical import Cluster, SamePictures
from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.audit.rejection import rejection_by_grade, rejection_by_site, sickest_rejected
from dr_pipeline.audit.shortcuts import Shortcut
from dr_pipeline.params.curation import Audit
from dr_pipeline.schema import RESEARCH_USE

AUDIT_REPORT_VERSION = 2


@dataclass(frozen=True)
class Audited:
    """What the audit found and decided.

    Attributes:
        findings: Of every kind, in the order of the kinds.
        pictures: Identical photographs, near duplicates and their clusters.
        shortcuts: Every predictor, also those that are no finding.
        grades: How many photographs each grade has.
        excluded: Reasons by image id.
    """

    findings: Sequence[Finding]
    pictures: SamePictures
    shortcuts: Sequence[Shortcut]
    grades: GradeCounts
    excluded: Mapping[str, str]


def audit_report(evidence: Evidence, audited: Audited, params: Audit, intake: Mapping[str, Any]) -> dict[str, Any]:
    """What reports/audit.json holds.

    Args:
        evidence: What was looked at.
        audited: What was found.
        params: What is done with each kind.
        intake: reports/intake.json; its warnings and what it knows of patients are passed on.
    """
    clusters = audited.pictures.clusters
    warning = sickest_rejected(evidence)
    return {
        "schema_version": AUDIT_REPORT_VERSION,
        "research_use": RESEARCH_USE,
        "photographs": len(evidence.rows),
        "used": len(evidence.rows) - len(audited.excluded),
        "actions": {kind: action_of(kind, params) for kind in KINDS},
        "limits": {
            "min_grade_photographs": params.min_grade_photographs,
            "max_shortcut_auc": params.max_shortcut_auc,
        },
        "counts": counts_of(audited.findings),
        "findings": [finding.to_row(action_of(finding.kind, params)) for finding in audited.findings],
        "identical": [list(group) for group in audited.pictures.identical],
        "clusters": [_cluster(cluster) for cluster in clusters],
        "largest_cluster": max((len(cluster.image_ids) for cluster in clusters), default=0),
        "grades": audited.grades.to_dict(),
        "shortcuts": [shortcut.to_dict() for shortcut in audited.shortcuts],
        "rejection_by_grade": {grade: one.to_dict() for grade, one in rejection_by_grade(evidence).items()},
        "rejection_by_site": {site: one.to_dict() for site, one in rejection_by_site(evidence).items()},
        "excluded": [{"image_id": image_id, "reason": reason} for image_id, reason in audited.excluded.items()],
        "patient_ids": intake["patient_ids"],
        "warnings": [*intake["warnings"], *([warning] if warning else [])],
    }


def audited_rows(evidence: Evidence, audited: Audited) -> list[dict[str, Any]]:
    """The manifest again, with what the pixels told: hashes, width, height, duplicate cluster, exclusion.

    What shows no fundus has no cluster: the split joins patients by it, and a placeholder that stands for the missing
    pictures of a hundred patients does not make them one.
    """
    clusters = {
        name: cluster for name, cluster in audited.pictures.cluster_names().items() if evidence.shows_fundus(name)
    }
    return [
        {
            **row,
            **{name: evidence.index[image_id][name] for name in ("pixel_sha256", "perceptual_hash", "width", "height")},
            "duplicate_cluster": clusters.get(image_id, ""),
            "excluded": int(image_id in audited.excluded),
            "exclusion_reason": audited.excluded.get(image_id, ""),
        }
        for image_id, row in evidence.rows.items()
    ]


def _cluster(cluster: Cluster) -> dict[str, Any]:
    return {
        "cluster": cluster.name,
        "image_ids": list(cluster.image_ids),
        "near": [
            {
                "image_ids": [pair.first, pair.second],
                "distance": int(pair.distance),
                "correlation": round(float(pair.correlation), 4),
                "turn": int(pair.turn),
            }
            for pair in cluster.near
        ],
    }
