"""A bundle on another data set: intake, preprocessing by the bundle's pixel path, audit, grades, figures."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.audit.actions import exclusions, require_labels, require_no_stop
from dr_pipeline.audit.findings import NOT_FUNDUS, UNREADABLE
from dr_pipeline.audit.inputs import AuditInputs, join_inputs
from dr_pipeline.audit.patient_ids import resolve_patients
from dr_pipeline.audit.run_audit import AuditResult, audit_report, audited_rows, run_audit
from dr_pipeline.bundle.metadata import known_pixels
from dr_pipeline.bundle.read import Bundle
from dr_pipeline.canvases.build import build_store
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.known_photographs import seen_by
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.breakdown import breakdown
from dr_pipeline.evaluation.external_report import ExternalPhotographs, external_report
from dr_pipeline.evaluation.graded_images import graded_rows
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.files import make_private_folder
from dr_pipeline.intake.run_intake import run_intake
from dr_pipeline.params.curation import Audit
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.params.external import ExternalParams
from dr_pipeline.params.subgroups import Subgroups
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.splitting.groups import bridges_of, group_photographs, photographs_of
from dr_pipeline.tables.graded import GradedRow
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow

VERSION = 1
_NUM_SHARDS = 16


@dataclass(frozen=True)
class ExternalSet:
    """Another data set, and how its figures are made.

    Attributes:
        name: In the table of several sets.
        root: Folder of the photographs.
        own: Of its own params.yaml, how it is read, and what its audit does.
        params: Confidence, bootstrap replicates and their seed.
        targets: What a local recalibration would aim at.
        subgroups: What its figures are broken down by.
    """

    name: str
    root: Path
    own: ExternalParams
    params: Evaluation
    targets: OperatingPoint
    subgroups: Subgroups


@dataclass(frozen=True)
class ExternalValidation:
    """The result: the report, the photographs that the network graded, and the report of the audit."""

    report: dict[str, Any]
    rows: list[GradedRow]
    audit: dict[str, Any]


def validate_external(
    bundle: Bundle, external: ExternalSet, canvases: Path, engine: EngineChoice
) -> ExternalValidation:
    """Grades the photographs of another data set at the bundle's locked operating point.

    Photographs that the bundle was trained, validated or recalibrated on, by their pixels, are left out with all others
    of their patients, and counted. Files that show no fundus or cannot be read stay: they are referred.

    Args:
        bundle: The bundle.
        external: The data set.
        canvases: Folder of its canvases, which is made, or completed where it was made before.
        engine: Which processes preprocess.

    Raises:
        DataError: The data set differs from its layout, or none of its graded photographs is left.
        GateError: The audit found what `audit` stops at.
    """
    intake = run_intake(external.root, external.own.dataset)
    make_private_folder(canvases)
    build_store(intake.manifest, external.root, canvases, bundle.pixel_path, num_shards=_NUM_SHARDS, engines=engine)
    store = CanvasStore(canvases)
    inputs = resolve_patients(join_inputs(intake.manifest, store.rows, intake.report), external.own.audit)
    audited = run_audit(inputs, external.own.audit, store.read)
    audit = audit_report(inputs, audited, external.own.audit, intake.report)
    require_no_stop(audit["counts"], external.own.audit, where=external.name)
    manifest = _screened(inputs, audited, external.own.audit)
    require_labels(manifest, where=external.name)
    rows, seen = _unseen(bundle, manifest)
    photographs = _photographs(bundle, store, rows)
    report = _description(bundle, external, manifest, rows, seen) | {
        "intake": intake.report["provenance"],
        "audit": audit["counts"],
        "by_status": dict(Counter(str(status) for status in photographs.statuses)),
        **external_report(
            bundle.decision, bundle.metadata["validation"], photographs, external.params, external.targets
        ),
        **breakdown(
            photographs.answers(bundle.decision),
            rows,
            {row.image_id: row for row in manifest},
            store.rows,
            external.params,
            external.subgroups,
        ),
    }
    return ExternalValidation(report, _graded(bundle, photographs), audit)


def _screened(inputs: AuditInputs, audited: AuditResult, params: Audit) -> list[ManifestRow]:
    """The audited manifest, in which a file that shows no fundus or cannot be read is not excluded for that.

    A programme cannot send a person home because of it: such a photograph counts as referred.
    """
    findings = [finding for finding in audited.findings if finding.kind not in (UNREADABLE, NOT_FUNDUS)]
    reasons = exclusions(findings, audited.duplicates, inputs, params)
    return [
        replace(row, excluded=row.image_id in reasons, exclusion_reason=reasons.get(row.image_id, ""))
        for row in audited_rows(inputs, audited)
    ]


def _unseen(bundle: Bundle, manifest: list[ManifestRow]) -> tuple[list[SplitRow], dict[str, int]]:
    """The graded photographs of patients that are new to the bundle, and how many others there are."""
    photographs = photographs_of(manifest)
    groups = group_photographs(photographs, bridges_of(manifest))
    hashes = {row.image_id: row.pixel_hash for row in manifest}
    seen = {manifest[index].image_id for index in seen_by(bundle.metadata, [*hashes.values()])}
    kept = [group for group in groups if not any(one.image_id in seen for one in group.photographs)]
    rows = [row for group in kept for row in group.rows("test", None)]
    left_out = len(photographs) - len(rows)
    known = sum(photograph.image_id in seen for photograph in photographs)
    if not rows:
        raise DataError(
            f"no graded photograph is left: the bundle was trained or fitted on {known} of {len(photographs)}, and the "
            "others are of the same patients",
            where=str(bundle.root),
            todo="validate on photographs that it has not seen",
        )
    return sorted(rows, key=lambda row: row.image_id), {"seen": known, "same_patients": left_out - known}


def _photographs(bundle: Bundle, store: CanvasStore, rows: list[SplitRow]) -> ExternalPhotographs:
    statuses = [_status(bundle, store, row) for row in rows]
    answered = np.array(
        [at for at, status in enumerate(statuses) if status in (Status.SCORED, Status.UNGRADABLE)], dtype=np.int64
    )
    graded = [rows[at].image_id for at in answered.tolist()]
    logits = canvas_logits(bundle.model.logits, store, graded, bundle.model.input_px)
    return ExternalPhotographs(rows, statuses, answered, logits.astype(np.float64))


def _status(bundle: Bundle, store: CanvasStore, row: SplitRow) -> Status:
    """The status by the pixel path and the bundle's threshold of the site, or of all where it knows no such site."""
    canvas, site = store.rows[row.image_id], row.site if row.site in bundle.gradability.sites else ""
    return bundle.gradability.apply(canvas.status, canvas.quality or 0.0, site=site)[0]


def _graded(bundle: Bundle, photographs: ExternalPhotographs) -> list[GradedRow]:
    positions = photographs.answered.tolist()
    decided = bundle.decision.apply(photographs.logits)
    rows, statuses = ([several[at] for at in positions] for several in (photographs.rows, photographs.statuses))
    return graded_rows(rows, statuses, photographs.logits, decided, decided)


def _description(
    bundle: Bundle, external: ExternalSet, manifest: list[ManifestRow], rows: list[SplitRow], seen: Mapping[str, int]
) -> dict[str, Any]:
    """Name, bundle, protocol, and what was left out."""
    excluded = Counter(row.exclusion_reason for row in manifest if row.excluded and row.grade is not None)
    warnings = []
    if not known_pixels(bundle.metadata):
        warnings.append(
            "the bundle does not state which photographs it was developed on, so that it was not checked that these "
            "are others"
        )
    if any(seen.values()):
        warnings.append(
            f"the bundle was trained or fitted on {seen['seen']} of these photographs; they and "
            f"{seen['same_patients']} more of their patients are left out. Copies that were saved again are not found"
        )
    return {
        "schema_version": VERSION,
        "name": external.name,
        "bundle_id": bundle.bundle_id,
        "research_use": RESEARCH_USE,
        "protocol": {
            "adapter": external.own.dataset.adapter,
            "unit": "photograph",
            "operating_point": "locked: that of the bundle, fitted on its own validation",
            "ungradable": "counted as referred in `intention_to_screen`",
            "patients_known": all(row.patient_id for row in rows),
        },
        "left_out": {
            "ungraded": sum(row.grade is None for row in manifest),
            "excluded_by_audit": sum(excluded.values()),
            **seen,
        },
        "warnings": warnings,
    }
