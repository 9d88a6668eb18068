"""AuditInputs made of a few lines, for the audit's tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from dr_pipeline.audit.inputs import AuditInputs, join_inputs
from dr_pipeline.params.curation import Audit
from dr_pipeline.params.section import validate
from dr_pipeline.tables.canvas_index import CANVAS_INDEX, CanvasRow
from dr_pipeline.tables.manifest import MANIFEST, ManifestRow

REPORT_ALL: dict[str, Any] = {
    "identical": "report",
    "near_duplicates": "report",
    "same_eye": "report",
    "search_same_eye": "auto",
    "contradictions": "report",
    "cross_patient": "report",
    "orphans": "report",
    "unreadable": "exclude",
    "not_fundus": "exclude",
    "colour_order": "report",
    "identity": "report",
    "patient_ids": "unknown",
    "patient_spelling": "join",
    "grades": "report",
    "shortcuts": "report",
    "min_grade_photographs": 1,
    "max_shortcut_auc": 0.65,
    "max_patient_share": 0.9,
}
# id, pixels, grade, patient, status
Photograph = tuple[str, str, str, str, str]
PLANTED: tuple[Photograph, ...] = (
    ("a", "A", "0", "p1", "scored"),
    ("b", "B", "1", "p1", "scored"),
    ("b2", "B", "1", "p1", "scored"),
    ("b3", "B", "1", "p1", "scored"),
    ("c1", "C", "3", "p2", "scored"),
    ("c2", "C", "4", "p2", "scored"),
    ("d1", "D", "2", "p3", "scored"),
    ("d2", "D", "2", "p4", "scored"),
    ("e", "", "4", "p5", "failed"),
    ("f", "F", "0", "p6", "not_fundus"),
    ("f2", "F", "4", "p7", "not_fundus"),
    ("g", "G", "4", "p8", "ungradable"),
)


def params(**changed: Any) -> Audit:
    return validate({**REPORT_ALL, **changed}, Audit, where="test")


def intake(**changed: Any) -> dict[str, Any]:
    """reports/intake.json as far as the audit reads it."""
    return {
        "adapter": "folder",
        "orphans": {"rows": [], "files": []},
        "identity": [],
        "unreadable": [],
        "patient_id_findings": [],
        "left_aside": {"text": 1},
        "warnings": [],
    } | changed


def manifest_row(image_id: str, **cells: str) -> ManifestRow:
    given = {"schema_version": str(MANIFEST.version), "image_id": image_id, "path": f"{image_id}.jpg", "excluded": "0"}
    return MANIFEST.parse(dict.fromkeys(MANIFEST.columns, "") | {"role": "all"} | given | cells, where="test")


def index_row(image_id: str, **cells: str) -> CanvasRow:
    given = {
        "schema_version": "3",
        "image_id": image_id,
        "status": "scored",
        "format": "jpeg",
        "width": "64",
        "height": "48",
        "disc_radius": "20.00",
        "annotation": "0",
    }
    return CANVAS_INDEX.parse(dict.fromkeys(CANVAS_INDEX.columns, "") | given | cells, where="test")


def tables(
    photographs: Sequence[Photograph], more: Mapping[str, Mapping[str, str]] | None = None
) -> tuple[list[ManifestRow], dict[str, CanvasRow]]:
    """Manifest and index; `more` sets further cells, of the index or else the manifest, by image id."""
    manifest, index = [], {}
    for name, pixels, grade, patient, status in photographs:
        cells = (more or {}).get(name, {})
        shown = {column: cell for column, cell in cells.items() if column in CANVAS_INDEX.columns}
        stated = {column: cell for column, cell in cells.items() if column not in CANVAS_INDEX.columns}
        reason = "" if status == "scored" else "a reason"
        manifest.append(manifest_row(name, **{"grade": grade, "patient_id": patient} | stated))
        index[name] = index_row(name, **{"pixel_hash": pixels, "status": status, "reason": reason} | shown)
    return manifest, index


def inputs_of(
    *photographs: Photograph,
    report: Mapping[str, Any] | None = None,
    more: Mapping[str, Mapping[str, str]] | None = None,
) -> AuditInputs:
    """Inputs of a few photographs."""
    return join_inputs(*tables(photographs, more), intake() if report is None else report)
