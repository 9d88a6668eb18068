"""The whole audit: duplicates, findings, exclusions, shortcuts; its report and the audited manifest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.actions import action_of, counts_of, exclusions
from dr_pipeline.audit.duplicates import (
    Cluster,
    Duplicates,
    hashes_to_compare,
    identical_groups,
    join_duplicates,
)
from dr_pipeline.audit.findings import (
    KINDS,
    Finding,
    GradeCounts,
    clusters_across_sites,
    count_grades,
    grade_findings,
    photograph_findings,
)
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.near_duplicates import find_near_duplicates
from dr_pipeline.audit.patient_ids import FrequentPatient, frequent_patients, patient_findings
from dr_pipeline.audit.rejection_rates import rejection_by_grade, rejection_by_site, severe_rejected_more
from dr_pipeline.audit.same_eye import EyeGroup, eye_names, same_eye_groups
from dr_pipeline.audit.shortcut_table import shortcut_table
from dr_pipeline.audit.shortcuts import Shortcut, measure_shortcuts, one_grade_findings, shortcut_findings
from dr_pipeline.params.curation import Audit
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.manifest import ManifestRow

AUDIT_REPORT_VERSION = 2
_MAX_SHARED = 10  # combinations of sites named in a warning


@dataclass(frozen=True)
class AuditResult:
    """The findings, and what follows from them.

    Attributes:
        findings: Of every kind, in the order of the kinds.
        duplicates: Identical photographs, near duplicates and their clusters.
        eyes: The eyes that were photographed twice; none where they were not searched for.
        shortcuts: Every predictor, also those that are no finding.
        grades: How many photographs each grade has.
        excluded: Reasons by image id.
        frequent_patients: Ids with more than a plausible share of the photographs.
    """

    findings: Sequence[Finding]
    duplicates: Duplicates
    eyes: Sequence[EyeGroup]
    shortcuts: Sequence[Shortcut]
    grades: GradeCounts
    excluded: Mapping[str, str]
    frequent_patients: Sequence[FrequentPatient] = ()


def run_audit(inputs: AuditInputs, params: Audit, read_canvas: Callable[[str], NDArray[np.uint8]]) -> AuditResult:
    """Runs every check.

    Grades and shortcuts are measured on the photographs that are not excluded, since these are what a network trains
    on.

    Args:
        inputs: The tables, with patients as `resolve_patients` leaves them.
        params: The action of each kind, and the limits for grades, shortcuts and patients.
        read_canvas: Returns a canvas by image id, (canvas_px, canvas_px, 3) RGB; near duplicates and photographs of one
            eye are verified on them.
    """
    identical = identical_groups(inputs)
    near = find_near_duplicates(hashes_to_compare(inputs, identical), read_canvas)
    duplicates = join_duplicates(identical, near)
    eyes = same_eye_groups(inputs, duplicates, params, read_canvas)
    frequent = frequent_patients(inputs, params.max_patient_share)
    findings = [*photograph_findings(inputs, duplicates, eyes), *patient_findings(inputs, frequent)]
    excluded = exclusions(findings, duplicates, inputs, params)
    grades = count_grades(inputs, excluded)
    shortcuts = measure_shortcuts(shortcut_table(inputs, duplicates.cluster_names() | eye_names(eyes), excluded))
    findings += grade_findings(grades, params.min_grade_photographs)
    findings += shortcut_findings(shortcuts, params.max_shortcut_auc)
    findings += one_grade_findings(inputs, [image_id for image_id in inputs.rows if image_id not in excluded])
    return AuditResult(findings, duplicates, eyes, shortcuts, grades, excluded, frequent)


def audit_report(inputs: AuditInputs, result: AuditResult, params: Audit, intake: Mapping[str, Any]) -> dict[str, Any]:
    """The content of reports/audit.json.

    Args:
        inputs: The tables.
        result: The result on them.
        params: The action of each kind.
        intake: reports/intake.json; its warnings are passed on.
    """
    clusters = result.duplicates.clusters
    warning = severe_rejected_more(inputs)
    without_patient = sum(not row.patient_id for row in inputs.rows.values())
    return {
        "schema_version": AUDIT_REPORT_VERSION,
        "research_use": RESEARCH_USE,
        "photographs": len(inputs.rows),
        "used": len(inputs.rows) - len(result.excluded),
        "actions": {kind: action_of(kind, params) for kind in KINDS},
        "limits": {
            "min_grade_photographs": params.min_grade_photographs,
            "max_shortcut_auc": params.max_shortcut_auc,
            "max_patient_share": params.max_patient_share,
        },
        "counts": counts_of(result.findings),
        "findings": [finding.to_row(action_of(finding.kind, params), inputs) for finding in result.findings],
        "identical": [list(group) for group in result.duplicates.identical],
        "clusters": [_cluster(cluster) for cluster in clusters],
        "clusters_across_sites": clusters_across_sites(inputs, clusters),
        "largest_cluster": max((len(cluster.image_ids) for cluster in clusters), default=0),
        "grades": result.grades.to_dict(),
        "shortcuts": [shortcut.to_dict() for shortcut in result.shortcuts],
        "rejection_by_grade": {grade: rate.to_dict() for grade, rate in rejection_by_grade(inputs).items()},
        "rejection_by_site": {site: rate.to_dict() for site, rate in rejection_by_site(inputs).items()},
        "excluded": [{"image_id": image_id, "reason": reason} for image_id, reason in result.excluded.items()],
        "patient_ids": {"known": without_patient == 0, "photographs_without": without_patient},
        "left_aside": intake["left_aside"],
        "warnings": [
            *intake["warnings"],
            *(patient.warning for patient in result.frequent_patients),
            *_shared_warnings(inputs, result),
            *([warning] if warning else []),
        ],
    }


def audited_rows(inputs: AuditInputs, result: AuditResult) -> list[ManifestRow]:
    """The manifest with the columns that the pixels give: hashes, width, height, duplicate cluster, eye, exclusion.

    Photographs that show no fundus have no cluster: the split joins patients by it, and a placeholder in the files of
    a hundred patients does not make them one.
    """
    clusters = {
        name: cluster for name, cluster in result.duplicates.cluster_names().items() if inputs.shows_fundus(name)
    }
    eyes = eye_names(result.eyes)
    return [
        replace(
            row,
            pixel_hash=inputs.index[image_id].pixel_hash,
            perceptual_hash=inputs.index[image_id].perceptual_hash,
            width=inputs.index[image_id].width,
            height=inputs.index[image_id].height,
            duplicate_cluster=clusters.get(image_id, ""),
            same_eye=eyes.get(image_id, ""),
            excluded=image_id in result.excluded,
            exclusion_reason=result.excluded.get(image_id, ""),
        )
        for image_id, row in inputs.rows.items()
    ]


def _shared_warnings(inputs: AuditInputs, result: AuditResult) -> list[str]:
    """That sites share photographs: a site held out is then not all new to a network of the others."""
    shared = clusters_across_sites(inputs, result.duplicates.clusters)
    listed = "; ".join(f"{' and '.join(entry['sites'])} {entry['clusters']}" for entry in shared[:_MAX_SHARED])
    more = f" and {len(shared) - _MAX_SHARED} more combinations" if len(shared) > _MAX_SHARED else ""
    return [f"sites have photographs in common, kept together in the split: {listed}{more}"] if shared else []


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
