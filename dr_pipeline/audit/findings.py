"""The kinds of findings, named as in `audit` of params.yaml, and how they are derived from tables and duplicates."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dr_pipeline.audit.duplicates import Cluster, Duplicates
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.same_eye import EyeGroup
from dr_pipeline.fundus.field import CIRCLE, SEVERAL_FIELDS
from dr_pipeline.fundus.quality.assess import COLOUR_ORDER
from dr_pipeline.schema import GRADE_NAMES, GRADES, REFERABLE_FROM, Status
from dr_pipeline.tables.manifest import ManifestRow

IDENTICAL, NEAR_DUPLICATES, SAME_EYE = "identical", "near_duplicates", "same_eye"
CONTRADICTIONS, CROSS_PATIENT = "contradictions", "cross_patient"
ORPHANS, UNREADABLE, NOT_FUNDUS = "orphans", "unreadable", "not_fundus"
SEVERAL, ASPECT = "several_fields", "aspect"
COLOURS, IDENTITY = "colour_order", "identity"
PATIENT_IDS, PATIENT_SPELLING = "patient_ids", "patient_spelling"
GRADES_MISSING, SHORTCUTS = "grades", "shortcuts"
# In the order of the report.
KINDS = (
    IDENTICAL,
    NEAR_DUPLICATES,
    SAME_EYE,
    CONTRADICTIONS,
    CROSS_PATIENT,
    ORPHANS,
    UNREADABLE,
    NOT_FUNDUS,
    SEVERAL,
    ASPECT,
    COLOURS,
    IDENTITY,
    PATIENT_IDS,
    PATIENT_SPELLING,
    GRADES_MISSING,
    SHORTCUTS,
)


@dataclass(frozen=True)
class Finding:
    """One fault, or one fact that a user must know.

    Attributes:
        kind: One of `KINDS`.
        image_ids: Its photographs, sorted; empty where it concerns none or the whole data set.
        detail: Its figures, as in the report.
    """

    kind: str
    image_ids: tuple[str, ...]
    detail: Mapping[str, Any]

    def to_row(self, action: str, inputs: AuditInputs) -> dict[str, Any]:
        """As `findings` of reports/audit.json lists it; of several photographs with their sites, where known."""
        sites = sorted({inputs.rows[image_id].site for image_id in self.image_ids} - {""})
        named = {"sites": sites} if sites and len(self.image_ids) > 1 else {}
        return {"kind": self.kind, "image_ids": list(self.image_ids), **self.detail, **named, "action": action}


def photograph_findings(inputs: AuditInputs, duplicates: Duplicates, eyes: Iterable[EyeGroup] = ()) -> list[Finding]:
    """All kinds but grades and shortcuts, which concern the data set as a whole; in the order of `KINDS`."""
    return [
        *(Finding(IDENTICAL, group, {}) for group in duplicates.identical),
        *(_near(pair.first, pair.second, pair.distance, pair.correlation, pair.turn) for pair in duplicates.near),
        *(_same_eye(inputs, group) for group in eyes),
        *_contradictions(inputs, duplicates.clusters),
        *_cross_patient(inputs, duplicates.clusters),
        *(Finding(ORPHANS, (), {"row": name}) for name in inputs.orphan_rows),
        *(Finding(ORPHANS, (), {"file": name}) for name in inputs.orphan_files),
        *_undecoded(inputs, UNREADABLE, Status.FAILED),
        *_undecoded(inputs, NOT_FUNDUS, Status.NOT_FUNDUS),
        *_several_fields(inputs),
        *_aspect(inputs),
        *_colour_order(inputs),
        *_identity(inputs),
    ]


def _near(first: str, second: str, distance: int, correlation: float, turn: int) -> Finding:
    detail = {"distance": int(distance), "correlation": round(float(correlation), 4), "turn": int(turn)}
    return Finding(NEAR_DUPLICATES, (first, second), detail)


def _same_eye(inputs: AuditInputs, group: EyeGroup) -> Finding:
    # Their number only, as of duplicates under several patients.
    patients = len({inputs.rows[image_id].patient_id for image_id in group.image_ids} - {""})
    return Finding(SAME_EYE, group.image_ids, {"pairs": [asdict(pair) for pair in group.pairs], "patients": patients})


def _contradictions(inputs: AuditInputs, clusters: Iterable[Cluster]) -> Iterator[Finding]:
    """Labels that cannot all be right: of one photograph, or of duplicates.

    Repeated blank frames and photographs without a label are not contradictions.
    """
    alone = (
        (image_id,)
        for image_id, row in inputs.rows.items()
        if row.grade is not None and row.referable is not None and inputs.shows_fundus(image_id)
    )
    together = (cluster.image_ids for cluster in clusters if inputs.shows_fundus(cluster.image_ids[0]))
    for image_ids in [*together, *alone]:
        rows = [inputs.rows[image_id] for image_id in image_ids]
        grades = {row.image_id: row.grade for row in rows if row.grade is not None}
        referable = {row.image_id: int(row.referable) for row in rows if row.referable is not None}
        labels = {label for row in rows for label in _referable_labels(row)}
        if len(set(grades.values())) > 1 or len(labels) > 1:
            detail: dict[str, Any] = {"grades": grades} | ({"referable": referable} if referable else {})
            yield Finding(CONTRADICTIONS, image_ids, detail)


def _referable_labels(row: ManifestRow) -> Iterator[bool]:
    """Referable disease by the grade and by the column `referable`, where each is present."""
    if row.grade is not None:
        yield row.grade >= REFERABLE_FROM
    if row.referable is not None:
        yield row.referable


def _cross_patient(inputs: AuditInputs, clusters: Iterable[Cluster]) -> Iterator[Finding]:
    """Duplicates under several patients of one source; one photograph in two sources has an id in each, rightly."""
    for cluster in clusters:
        of_source: dict[str, set[str]] = defaultdict(set)
        for row in (inputs.rows[image_id] for image_id in cluster.image_ids):
            if row.patient_id:
                of_source[row.source].add(row.patient_id)
        # Their number only: the report belongs in git, patients' ids do not.
        patients = max(map(len, of_source.values()), default=0)
        if patients > 1 and inputs.shows_fundus(cluster.name):
            yield Finding(CROSS_PATIENT, cluster.image_ids, {"patients": patients})


def clusters_across_sites(inputs: AuditInputs, clusters: Iterable[Cluster]) -> list[dict[str, Any]]:
    """How many clusters of duplicates each combination of sites shares, the most frequent first."""
    shared = Counter(
        tuple(sorted({inputs.rows[image_id].site for image_id in cluster.image_ids} - {""}))
        for cluster in clusters
        if inputs.shows_fundus(cluster.name)
    )
    return [
        {"sites": list(sites), "clusters": count}
        for sites, count in sorted(shared.items(), key=lambda item: (-item[1], item[0]))
        if len(sites) > 1
    ]


def _undecoded(inputs: AuditInputs, kind: str, status: Status) -> Iterator[Finding]:
    for image_id, row in inputs.rows.items():
        if inputs.status(image_id) == status:
            reason = inputs.index[image_id].reason or inputs.unreadable.get(image_id, "")
            detail = {"path": row.path, "status": str(status), "reason": reason}
            yield Finding(kind, (image_id,), detail)


def _several_fields(inputs: AuditInputs) -> Iterator[Finding]:
    for image_id, row in inputs.rows.items():
        if SEVERAL_FIELDS in inputs.index[image_id].quality_reasons.split(";"):
            yield Finding(SEVERAL, (image_id,), {"path": row.path})


def _aspect(inputs: AuditInputs) -> Iterator[Finding]:
    """One finding for all squashed or stretched photographs: whether one resize made them all shows in the range."""
    aspects = {
        image_id: inputs.index[image_id].disc_aspect
        for image_id in sorted(inputs.rows)
        if inputs.index[image_id].disc_fit == CIRCLE
    }
    odd = {image_id: aspect for image_id, aspect in aspects.items() if aspect is not None and aspect != 1}
    if odd:
        values = sorted(odd.values())
        detail = {
            "photographs": len(odd),
            "of": len(inputs.rows),
            "median": values[len(values) // 2],
            "range": [values[0], values[-1]],
            "restored": sum(bool(inputs.index[image_id].aspect_restored) for image_id in odd),
        }
        yield Finding(ASPECT, tuple(odd), detail)


def _colour_order(inputs: AuditInputs) -> Iterator[Finding]:
    for image_id, row in inputs.rows.items():
        reasons = inputs.index[image_id].quality_reasons.split(";")
        if COLOUR_ORDER in reasons and inputs.shows_fundus(image_id):
            yield Finding(COLOURS, (image_id,), {"path": row.path})


def _identity(inputs: AuditInputs) -> Iterator[Finding]:
    for image_id, row in inputs.rows.items():
        fields, has_text = inputs.identity.get(image_id, ()), bool(inputs.index[image_id].annotation)
        if fields or has_text:
            detail = {"path": row.path, "fields": list(fields), "text_beside_the_disc": has_text}
            yield Finding(IDENTITY, (image_id,), detail)


@dataclass(frozen=True)
class GradeCounts:
    """Photographs by grade.

    Attributes:
        total: Of all photographs, by grade.
        used: Of those that are not left out.
        ungraded: Photographs without a grade.
    """

    total: tuple[int, ...]
    used: tuple[int, ...]
    ungraded: int

    def to_dict(self) -> dict[str, Any]:
        """As `grades` of reports/audit.json."""
        return {
            "counts": {str(grade): self.total[grade] for grade in GRADES},
            "used": {str(grade): self.used[grade] for grade in GRADES},
            "absent": [grade for grade in GRADES if not self.total[grade]],
            "ungraded": self.ungraded,
        }


def count_grades(inputs: AuditInputs, excluded: Container[str]) -> GradeCounts:
    """Counts all photographs, and those that are not left out."""
    total = Counter(row.grade for row in inputs.rows.values())
    used = Counter(row.grade for image_id, row in inputs.rows.items() if image_id not in excluded)
    return GradeCounts(
        total=tuple(total[grade] for grade in GRADES),
        used=tuple(used[grade] for grade in GRADES),
        ungraded=total[None],
    )


def grade_findings(counts: GradeCounts, min_photographs: int) -> list[Finding]:
    """One finding per grade of which fewer than `min_photographs` are used."""
    return [
        Finding(
            GRADES_MISSING,
            (),
            {"grade": grade, "name": GRADE_NAMES[grade], "photographs": counts.total[grade], "used": used},
        )
        for grade, used in zip(GRADES, counts.used, strict=True)
        if used < min_photographs
    ]
