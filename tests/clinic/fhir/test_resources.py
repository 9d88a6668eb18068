"""Resources are valid FHIR, have the right codes and references, and stay the same for the same result."""

import json

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.clinic.fhir.resources import FhirOptions, Resource, _checked, examination_resources, transaction
from dr_pipeline.clinic.results.policy import Policy
from dr_pipeline.clinic.results.roll_up import roll_up
from dr_pipeline.clinic.results.texts import LANGUAGES, Texts
from dr_pipeline.clinic.results.write import with_texts
from dr_pipeline.errors import DataError
from dr_pipeline.schema import RESEARCH_USE
from tests.clinic.results.test_roll_up import EXAMINATIONS, hand_worked
from tests.factories.predictions import predictions


def resources_of(*examinations: tuple[str, str, str], language: str = "en", **options) -> list[list[Resource]]:
    rows, births = predictions(examinations)
    results = with_texts(roll_up(rows, Policy(), births), Texts.load(language))
    return list(examination_resources(results, FhirOptions(language, **options)))


def kinds(resources: list[Resource]) -> list[str]:
    return [resource["resourceType"] for resource in resources]


def codings(concept: dict) -> set[tuple[str, str]]:
    return {(coding["system"], coding["code"]) for coding in concept["coding"]}


def assert_valid(resource: Resource) -> None:
    model = get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert json.loads(model.model_dump_json()) == resource


def test_all_resources_of_the_hand_worked_patients_are_valid() -> None:
    table = hand_worked()
    examinations = resources_of(*((case["patient"], case["visit"], case["photographs"]) for case in table))
    for resources in examinations:
        for resource in resources:
            assert_valid(resource)
    doubted = [case for case in table if case["decision"] == "person" and case["reasons"] != "eye_unknown"]
    unknown = [case for case in table if not case["patient"]]
    assert len(examinations) == len(table) - len(doubted) - len(unknown)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_states_its_language(language: str) -> None:
    (resources,) = resources_of(("P", "", "R4 Lu"), language=language)
    assert_valid(transaction(resources))
    assert resources[-1]["language"] == language


@settings(max_examples=10, deadline=None)
@given(EXAMINATIONS, st.sampled_from(["", "urn:oid:1.2.3"]))
def test_resources_of_any_photographs_are_valid(examinations: list[tuple[str, str, str]], system: str) -> None:
    for resources in resources_of(*examinations, patient_system=system):
        assert_valid(transaction(resources))
        assert RESEARCH_USE in resources[-1]["conclusion"]


def test_an_eye_has_its_codes_and_the_report_refers_to_both() -> None:
    study = {"image-0000": "1.2.840.99", "image-0001": "1.2.840.99"}
    (resources,) = resources_of(("'=7", "20240131", "R3h L0"), study_uids=study, patient_system="urn:oid:1.2.3")
    assert kinds(resources) == ["Patient", "Device", "Observation", "Observation", "DiagnosticReport"]
    patient, device, right, left, report = resources
    assert patient["identifier"] == [{"system": "urn:oid:1.2.3", "value": "=7"}]  # without the spreadsheet's apostrophe
    assert set(patient) == {"resourceType", "id", "identifier"}  # no name, no birth date
    assert codings(right["code"]) == {("http://loinc.org", "71491-5")}
    assert codings(left["code"]) == {("http://loinc.org", "71490-7")}
    assert codings(right["bodySite"]) == {("http://snomed.info/sct", "362502000")}
    assert codings(right["valueCodeableConcept"]) == {
        ("http://loinc.org", "LA18646-2"),
        ("http://snomed.info/sct", "312905005"),
    }
    assert codings(left["valueCodeableConcept"]) == {("http://loinc.org", "LA18643-9")}
    assert {code for _, code in codings(right["interpretation"][0])} == {"POS"}
    parts = {item["code"]["text"]: item for item in right["component"]}
    assert parts["Needs a human reader"]["valueBoolean"]
    assert not {item["code"]["text"]: item for item in left["component"]}["Needs a human reader"]["valueBoolean"]
    assert parts["Probability of grade 3"]["valueQuantity"]["value"] == 0.8
    assert right["device"] == {"reference": f"Device/{device['id']}"}
    assert {row["status"] for row in (right, left, report)} == {"preliminary"}
    assert report["effectiveDateTime"] == "2024-01-31"
    assert [item["reference"] for item in report["result"]] == [f"Observation/{row['id']}" for row in (right, left)]
    assert report["imagingStudy"] == [
        {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.99"}}
    ]
    assert codings(report["conclusionCode"][0]) == codings(right["valueCodeableConcept"])
    assert "within 3 months" in report["conclusion"]


def test_an_eye_without_a_grade_states_why() -> None:
    (resources,) = resources_of(("P", "visit one", "Ru"))
    *_, right, left, report = resources
    assert {code for _, code in codings(right["dataAbsentReason"])} == {"unknown"}
    assert {code for _, code in codings(left["dataAbsentReason"])} == {"not-performed"}
    assert "valueCodeableConcept" not in right
    assert "conclusionCode" not in report
    assert "effectiveDateTime" not in report  # the visit is no date


def test_an_unknown_eye_has_a_report_without_observations_and_a_doubted_person_none() -> None:
    (resources,) = resources_of(("P", "", "?4"), ("Q", "", "R0@1950 L4@1960"))
    assert kinds(resources) == ["Patient", "Device", "DiagnosticReport"]
    assert "a person must decide" in resources[-1]["conclusion"]


def test_ids_follow_from_the_result_and_differ_between_visits_eyes_and_systems() -> None:
    examinations = [("P", "1", "R0 L0"), ("P", "2", "R0 L0"), ("Q", "1", "R0 L0")]
    assert resources_of(*examinations) == resources_of(*examinations)
    ids = [r["id"] for one in resources_of(*examinations) for r in one if r["resourceType"] != "Device"]
    ids += [r["id"] for one in resources_of(*examinations, patient_system="urn:x") for r in one]
    assert len(set(ids)) == 4 * 3 - 1 + 4 * 3 - 1 + 1  # P is one Patient in both visits; one Device


@pytest.mark.parametrize("patient_id", ["Maria\u2028", "Maria\x01", "Maria\n2", " Maria", "\t"])
def test_an_id_that_fhir_does_not_take_is_named_by_its_row(patient_id: str) -> None:
    with pytest.raises(DataError, match=r"patients\.csv, row 2") as caught:
        resources_of((patient_id, "", "R0 L0"))
    assert "Maria" not in str(caught.value)


def test_a_resource_that_breaks_the_model_is_named_without_its_values() -> None:
    with pytest.raises(RuntimeError, match="Patient breaks FHIR's model: birthDate") as caught:
        _checked({"resourceType": "Patient", "birthDate": "Maria Secret"})
    assert "Secret" not in str(caught.value)
