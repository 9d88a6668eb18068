"""Ids that name no person become unknown, several spellings one patient; both are findings without the ids."""

import pytest

from dr_pipeline.audit.actions import counts_of, require_no_stop
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.patient_ids import frequent_patients, patient_findings, resolve_patients
from dr_pipeline.errors import GateError
from tests.factories.audit_tables import inputs_of, intake, params


def inputs(*doubts: tuple[str, int, str], patients: str = "ppqqrr") -> AuditInputs:
    """One photograph per letter of `patients`, named a, b, c …; a doubt has its reason, its ids, its photographs."""
    entries = [{"why": why, "ids": ids, "image_ids": list(names)} for why, ids, names in doubts]
    photographs = [(chr(97 + place), str(place), "0", patient, "scored") for place, patient in enumerate(patients)]
    return inputs_of(*photographs, report=intake(patient_id_findings=entries))


def patients_of(inputs: AuditInputs) -> str:
    return "".join(row.patient_id or "-" for row in inputs.rows.values())


@pytest.mark.parametrize("why", ["placeholder", "lost_digits"])
def test_an_id_that_names_no_person_becomes_unknown(why):
    doubted = inputs((why, 1, "ab"))
    assert patients_of(resolve_patients(doubted, params())) == "--qqrr"
    assert patients_of(resolve_patients(doubted, params(patient_ids="report"))) == "ppqqrr"


def test_an_id_that_may_be_a_person_stays_one_group():
    assert patients_of(resolve_patients(inputs(("maybe_placeholder", 1, "ab")), params())) == "ppqqrr"


def test_spellings_of_one_id_become_one_patient():
    spelt = inputs(("spelling", 2, "acd"))
    assert patients_of(resolve_patients(spelt, params())) == "pppprr"
    assert patients_of(resolve_patients(spelt, params(patient_spelling="report"))) == "ppqqrr"


def test_a_busy_id_is_a_finding_and_stays():
    busy = inputs(patients="p" * 12 + "qqrrsstt")
    (patient,) = frequent_patients(busy, 0.1)
    assert (len(patient.image_ids), patient.share) == (12, 0.6)
    assert "12 photographs, 60% of all, such as a" in patient.warning
    (finding,) = patient_findings(busy, [patient])
    assert (finding.kind, finding.detail["why"]) == ("patient_ids", "share")
    assert not frequent_patients(busy, 0.7)
    assert frequent_patients(inputs(patients="pppppppp"), 0.1)  # one id for all


def test_a_few_patients_with_as_many_photographs_each_are_not_busy():
    assert not frequent_patients(inputs(patients="ppppqqqqrrrrr"), 0.1)


def test_a_known_placeholder_is_not_reported_twice():
    doubted = inputs(("placeholder", 1, "abcdefghijkl"), patients="p" * 12 + "qqrrsstt")
    assert not frequent_patients(doubted, 0.1)


def test_findings_hold_photographs_and_counts_and_no_id():
    doubted = inputs(("placeholder", 2, "ab"), ("spelling", 2, "cd"), patients="ppqsrr")
    findings = patient_findings(doubted, [])
    assert [(finding.kind, finding.image_ids, finding.detail) for finding in findings] == [
        ("patient_ids", ("a", "b"), {"why": "placeholder", "ids": 2, "photographs": 2}),
        ("patient_spelling", ("c", "d"), {"why": "spelling", "ids": 2, "photographs": 2}),
    ]


@pytest.mark.parametrize("kind", ["patient_ids", "patient_spelling"])
def test_either_kind_can_stop_the_build(kind):
    doubted = inputs(("placeholder", 2, "ab"), ("spelling", 2, "cd"))
    counts = counts_of(patient_findings(doubted, []))
    require_no_stop(counts, params(), where="test")
    with pytest.raises(GateError, match=kind.replace("_", "-")):
        require_no_stop(counts, params(**{kind: "stop"}), where="test")
