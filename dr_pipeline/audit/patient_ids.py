"""Patient ids that name no person, and one person under several ids: the findings, and what follows for the rows.

The intake compares the ids as the data set writes them; here its results meet the actions of params.yaml. Joining too
much never lets a person's photographs into two parts of a split, so several spellings are joined by default. Treating
an id as unknown divides its photographs, so that is done only where it certainly names no person.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dr_pipeline.audit.findings import KINDS, PATIENT_IDS, PATIENT_SPELLING, Finding
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.params.curation import Audit
from dr_pipeline.schema import IdDoubt
from dr_pipeline.tables.manifest import ManifestRow

# A cohort of a few people, each with as many photographs as the next, has no frequent patient.
_TIMES_USUAL = 5


@dataclass(frozen=True)
class FrequentPatient:
    """One id with more than `max_patient_share` of the photographs: a clinic's name, perhaps, or a busy patient."""

    image_ids: tuple[str, ...]
    share: float

    @property
    def warning(self) -> str:
        """A sentence for the report, without the id."""
        return (
            f"one patient id has {len(self.image_ids)} photographs, {self.share:.0%} of all, such as "
            f"{self.image_ids[0]}; they stay in one part of the split, whose share then misses its aim. If it is no "
            "person, add it to dataset.unknown_patient_ids in params.yaml"
        )


def resolve_patients(inputs: AuditInputs, params: Audit) -> AuditInputs:
    """The inputs with the patients that every later step counts and groups by.

    `patient_ids: unknown` empties ids that certainly name no person; `patient_spelling: join` gives all spellings of
    one id that of its first photograph.
    """
    changed: dict[str, ManifestRow] = {}
    for finding in inputs.doubted_ids:
        rows = [inputs.rows[image_id] for image_id in finding.image_ids]
        if finding.why.is_no_person and params.patient_ids == "unknown":
            changed |= {row.image_id: replace(row, patient_id="") for row in rows}
        elif finding.why == IdDoubt.SPELLING and params.patient_spelling == "join":
            changed |= {row.image_id: replace(row, patient_id=rows[0].patient_id) for row in rows}
    return replace(inputs, rows={**inputs.rows, **changed})


def frequent_patients(inputs: AuditInputs, max_share: float) -> list[FrequentPatient]:
    """Patients with more than `max_share` of the photographs, and many more than other patients have.

    Ids that the intake already doubts are left out.
    """
    doubted = {name for ids in inputs.doubted_ids if ids.why != IdDoubt.SPELLING for name in ids.image_ids}
    of_patient: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, row in inputs.rows.items():
        if row.patient_id and image_id not in doubted:
            of_patient[row.patient_id].append(image_id)
    total = len(inputs.rows)
    frequent = []
    for patient_id, image_ids in sorted(of_patient.items()):
        if len(image_ids) > max_share * total:
            others = [len(ids) for other, ids in of_patient.items() if other != patient_id]
            if len(image_ids) > _TIMES_USUAL * (statistics.median(others) if others else 1):
                frequent.append(FrequentPatient(tuple(image_ids), len(image_ids) / total))
    return frequent


def patient_findings(inputs: AuditInputs, frequent: Iterable[FrequentPatient]) -> list[Finding]:
    """The findings `patient_ids` and `patient_spelling`: photographs and numbers of ids, never an id."""
    doubted = [
        Finding(
            PATIENT_SPELLING if ids.why == IdDoubt.SPELLING else PATIENT_IDS,
            ids.image_ids,
            {"why": str(ids.why), "ids": ids.ids, "photographs": len(ids.image_ids)},
        )
        for ids in inputs.doubted_ids
    ]
    of_share = [
        Finding(
            PATIENT_IDS,
            patient.image_ids,
            {
                "why": str(IdDoubt.SHARE),
                "ids": 1,
                "photographs": len(patient.image_ids),
                "share": round(patient.share, 4),
            },
        )
        for patient in frequent
    ]
    return sorted([*doubted, *of_share], key=lambda finding: KINDS.index(finding.kind))
