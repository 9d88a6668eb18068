"""Checks the patient ids of a data set: ids that name no person, and one person under several spellings.

It works on the ids as the data set writes them, before those of DICOM headers are hashed. The results name photographs
and count ids; they never repeat an id.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr_pipeline.intake.patient_spelling import spelling_key
from dr_pipeline.intake.placeholder_ids import doubtful_ids
from dr_pipeline.schema import IdDoubt

_SENTENCES = {
    IdDoubt.PLACEHOLDER: "the patient id of {photographs} photographs is a placeholder ({ids} spellings of "
    "words such as unknown): it names no person",
    IdDoubt.LOST_DIGITS: "the patient id of {photographs} photographs has lost digits ({ids} ids in scientific "
    "notation, or with zeros after the 15th digit): several persons may share it; export the ids as text",
    IdDoubt.MAYBE_PLACEHOLDER: "the patient id of {photographs} photographs may be a placeholder ({ids} ids, such as "
    "999 or NA); if so, add it to dataset.unknown_patient_ids in params.yaml, until then each counts as one person",
    IdDoubt.SPELLING: "{ids} patient ids of {photographs} photographs differ in spelling only (case, blanks, "
    "separators, leading zeros, a trailing .0, ^ or eye): each such group is probably one person; correct the table",
}


@dataclass(frozen=True)
class PatientIdFinding:
    """Photographs whose patient ids are no ids, or are spellings of one id.

    Attributes:
        why: The doubt.
        ids: How many different ids these photographs have.
        image_ids: The photographs, sorted.
    """

    why: IdDoubt
    ids: int
    image_ids: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As `patient_id_findings` of reports/intake.json lists it."""
        return {"why": str(self.why), "ids": self.ids, "image_ids": list(self.image_ids)}


def check_patient_ids(patient_ids: Mapping[str, str], declared: Iterable[str] = ()) -> list[PatientIdFinding]:
    """The findings about patient ids: at most one per kind of doubt, and one per person with several spellings.

    Args:
        patient_ids: As the data set writes them, by image id; empty where unknown.
        declared: Further placeholders of this data set.
    """
    known = {image_id: name for image_id, name in patient_ids.items() if name}
    doubts = doubtful_ids(Counter(known.values()), declared)
    by_doubt: defaultdict[IdDoubt, list[str]] = defaultdict(list)
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, name in sorted(known.items()):
        doubt = doubts.get(name)
        if doubt:
            by_doubt[doubt].append(image_id)
        if not (doubt and doubt.is_no_person):
            by_key[spelling_key(name)].append(image_id)
    groups = [(doubt, by_doubt[doubt]) for doubt in IdDoubt if by_doubt[doubt]]
    groups += [(IdDoubt.SPELLING, image_ids) for image_ids in by_key.values()]
    findings = [PatientIdFinding(why, len({known[name] for name in names}), tuple(names)) for why, names in groups]
    return [finding for finding in findings if finding.why != IdDoubt.SPELLING or finding.ids > 1]


def known_patients(patient_ids: Sequence[str]) -> list[str]:
    """The person behind each id, in one spelling; empty where it names nobody or several may share it.

    >>> known_patients(["P001", "p1", "unknown", "", "P002"])
    ['P001', 'P001', '', '', 'P002']

    Args:
        patient_ids: One per photograph, as a table has them; empty where unknown.
    """
    doubts = doubtful_ids(Counter(filter(None, patient_ids)))
    spelling: dict[str, str] = {}
    known = []
    for name in patient_ids:
        doubt = doubts.get(name)
        is_person = bool(name) and not (doubt and doubt.is_no_person)
        known.append(spelling.setdefault(spelling_key(name), name) if is_person else "")
    return known


def patient_id_warnings(findings: Sequence[PatientIdFinding]) -> list[str]:
    """One sentence per kind of finding, without an id."""
    warnings = []
    for why, sentence in _SENTENCES.items():
        of_kind = [finding for finding in findings if finding.why == why]
        if of_kind:
            photographs = sum(len(finding.image_ids) for finding in of_kind)
            warnings.append(sentence.format(ids=sum(finding.ids for finding in of_kind), photographs=photographs))
    return warnings
