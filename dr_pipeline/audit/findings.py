"""The findings about single photographs, pairs and clusters, each kind under its name in `audit` of params.yaml."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dr_pipeline.audit.identical import Cluster, SamePictures
from dr_pipeline.audit.inputs import Evidence, Row
from dr_pipeline.fundus.quality.assess import COLOUR_ORDER
from dr_pipeline.schema import REFERABLE_FROM, Status

IDENTICAL, NEAR_DUPLICATES = "identical", "near_duplicates"
CONTRADICTIONS, CROSS_PATIENT = "contradictions", "cross_patient"
ORPHANS, UNREADABLE, NOT_FUNDUS = "orphans", "unreadable", "not_fundus"
COLOURS, IDENTITY = "colour_order", "identity"
GRADES_MISSING, SHORTCUTS = "grades", "shortcuts"
# In the order in which they are told.
KINDS = (
    IDENTICAL,
    NEAR_DUPLICATES,
    CONTRADICTIONS,
    CROSS_PATIENT,
    ORPHANS,
    UNREADABLE,
    NOT_FUNDUS,
    COLOURS,
    IDENTITY,
    GRADES_MISSING,
    SHORTCUTS,
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that must be known.

    Attributes:
        kind: One of `KINDS`.
        image_ids: The photographs it is about, sorted; empty where it is about none or about the whole data set.
        detail: What there is to say of it, as JSON holds it.
    """

    kind: str
    image_ids: tuple[str, ...]
    detail: Mapping[str, Any]

    def to_row(self, action: str) -> dict[str, Any]:
        """As `findings` of reports/audit.json lists it."""
        return {"kind": self.kind, "image_ids": list(self.image_ids), **self.detail, "action": action}


def photograph_findings(evidence: Evidence, pictures: SamePictures) -> list[Finding]:
    """All kinds but grades and shortcuts, which are about the data set as a whole; in the order of `KINDS`."""
    return [
        *(Finding(IDENTICAL, group, {}) for group in pictures.identical),
        *(_near(pair.first, pair.second, pair.distance, pair.correlation, pair.turn) for pair in pictures.near),
        *_contradictions(evidence, pictures.clusters),
        *_cross_patient(evidence, pictures.clusters),
        *(Finding(ORPHANS, (), {"row": name}) for name in evidence.orphan_rows),
        *(Finding(ORPHANS, (), {"file": name}) for name in evidence.orphan_files),
        *_without_picture(evidence, UNREADABLE, Status.FAILED),
        *_without_picture(evidence, NOT_FUNDUS, Status.NOT_FUNDUS),
        *_colour_order(evidence),
        *_identity(evidence),
    ]


def _near(first: str, second: str, distance: int, correlation: float, turn: int) -> Finding:
    detail = {"distance": int(distance), "correlation": round(float(correlation), 4), "turn": int(turn)}
    return Finding(NEAR_DUPLICATES, (first, second), detail)


def _contradictions(evidence: Evidence, clusters: Iterable[Cluster]) -> Iterator[Finding]:
    """Labels that cannot all be right: of one photograph, or of the photographs that are one picture.

    A blank frame twice is no finding about labels or patients; photographs without a label contradict nobody.
    """
    alone = (
        (image_id,)
        for image_id, row in evidence.rows.items()
        if row["grade"] and row["referable"] and evidence.shows_fundus(image_id)
    )
    together = (cluster.image_ids for cluster in clusters if evidence.shows_fundus(cluster.image_ids[0]))
    for image_ids in [*together, *alone]:
        rows = [evidence.rows[image_id] for image_id in image_ids]
        grades = {row["grade"] for row in rows} - {""}
        verdicts = {verdict for row in rows for verdict in _verdicts(row)}
        if len(grades) > 1 or len(verdicts) > 1:
            detail: dict[str, Any] = {"grades": {row["image_id"]: int(row["grade"]) for row in rows if row["grade"]}}
            if any(row["referable"] for row in rows):
                detail["referable"] = {row["image_id"]: int(row["referable"]) for row in rows if row["referable"]}
            yield Finding(CONTRADICTIONS, image_ids, detail)


def _verdicts(row: Row) -> Iterator[bool]:
    """Whether the grade says referable disease, and whether the column of that name does, where there is one."""
    if row["grade"]:
        yield int(row["grade"]) >= REFERABLE_FROM
    if row["referable"]:
        yield row["referable"] == "1"


def _cross_patient(evidence: Evidence, clusters: Iterable[Cluster]) -> Iterator[Finding]:
    for cluster in clusters:
        # Their number: the report belongs in git, patients' names do not.
        patients = len({evidence.rows[image_id]["patient_id"] for image_id in cluster.image_ids} - {""})
        if patients > 1 and evidence.shows_fundus(cluster.name):
            yield Finding(CROSS_PATIENT, cluster.image_ids, {"patients": patients})


def _without_picture(evidence: Evidence, kind: str, status: Status) -> Iterator[Finding]:
    for image_id, row in evidence.rows.items():
        if evidence.status(image_id) == status:
            reason = evidence.index[image_id]["reason"] or evidence.unreadable.get(image_id, "")
            detail = {"path": row["path"], "status": str(status), "reason": reason}
            yield Finding(kind, (image_id,), detail)


def _colour_order(evidence: Evidence) -> Iterator[Finding]:
    for image_id, row in evidence.rows.items():
        reasons = evidence.index[image_id]["quality_reasons"].split(";")
        if COLOUR_ORDER in reasons and evidence.shows_fundus(image_id):
            yield Finding(COLOURS, (image_id,), {"path": row["path"]})


def _identity(evidence: Evidence) -> Iterator[Finding]:
    for image_id, row in evidence.rows.items():
        fields, burnt_in = evidence.identity.get(image_id, ()), evidence.index[image_id]["annotation"] == "1"
        if fields or burnt_in:
            detail = {"path": row["path"], "fields": list(fields), "text_beside_the_disc": burnt_in}
            yield Finding(IDENTITY, (image_id,), detail)
