"""A patient's result as FHIR R4 resources, checked by the models of `fhir.resources` (R4B: the same for these kinds).

Of each examination: a DiagnosticReport that refers to two Observations, one per eye; a Patient with nothing but the
identifier, and a Device for the bundle. The status is `preliminary`: nobody has reviewed it. Ids follow from patient,
visit, eye and bundle, so that the same result replaces itself.
"""

import json
import re
import uuid
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote

from dr_pipeline import __version__
from dr_pipeline.clinic.fhir import codes
from dr_pipeline.clinic.results.roll_up import Examination, Results
from dr_pipeline.errors import DataError
from dr_pipeline.files import spreadsheet_plain
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.result_eyes import EyeResult, EyeStatus
from dr_pipeline.tables.result_patients import Decision, PatientResult, Reason
from dr_pipeline.tables.result_photographs import PhotographResult

Resource = dict[str, Any]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "dr_pipeline")
PRELIMINARY = "preliminary"


@dataclass(frozen=True)
class FhirOptions:
    """What the resources state beside the results.

    Attributes:
        language: BCP 47 code of the texts.
        patient_system: URI of the system that the patients' ids are of; empty: not stated.
        study_uids: DICOM Study Instance UIDs by image id.
    """

    language: str = "en"
    patient_system: str = ""
    study_uids: Mapping[str, str] = field(default_factory=dict)


def examination_resources(results: Results, options: FhirOptions) -> Iterator[list[Resource]]:
    """The resources of each examination: Patient, Device, Observations, DiagnosticReport.

    An examination without a decision for want of laterality has a report without Observations. One of which it is in
    doubt whose it is has none at all: it could be written into another person's record.

    Raises:
        DataError: A patient's id is no text as FHIR has it. The message names the row, not the patient.
        RuntimeError: A resource breaks the model, which is a fault of this program.
    """
    eyes: defaultdict[Examination, list[EyeResult]] = defaultdict(list)
    for eye in results.eyes:
        eyes[eye.patient_id, eye.visit].append(eye)
    photographs: defaultdict[Examination, list[PhotographResult]] = defaultdict(list)
    for photograph in results.photographs:
        if photograph.patient_id:
            photographs[photograph.patient_id, photograph.visit].append(photograph)
    for number, patient in enumerate(results.patients, start=2):
        _check_id(patient.patient_id, where=f"patients.csv, row {number}")
        if patient.decision is not Decision.PERSON or patient.reasons == Reason.EYE_UNKNOWN:
            examination = patient.patient_id, patient.visit
            resources = _resources(patient, eyes[examination], photographs[examination], options)
            yield [_checked(resource) for resource in resources]


def resource_id(*parts: str) -> str:
    """The id that follows from the parts: a UUID of version 5."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps(parts)))


def _check_id(patient_id: str, *, where: str) -> None:
    if not patient_id.isprintable() or patient_id != patient_id.strip():
        raise DataError(
            "the patient's id has blanks around it, a line end or another sign that FHIR does not take",
            where=where,
            todo="correct the id where `score` takes it from, and score again",
        )


def _checked(resource: Resource) -> Resource:
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as error:  # whose own message quotes patients' data
        places = sorted({".".join(map(str, problem["loc"])) for problem in error.errors()})
        raise RuntimeError(f"{resource['resourceType']} breaks FHIR's model: {', '.join(places)}") from None
    return resource


def _resources(
    result: PatientResult, eyes: Sequence[EyeResult], photographs: Sequence[PhotographResult], options: FhirOptions
) -> list[Resource]:
    bundle_id = "+".join(sorted({row.bundle_id for row in photographs}))
    identifier = {"value": spreadsheet_plain(result.patient_id)}
    if options.patient_system:
        identifier["system"] = options.patient_system
    patient = {
        "resourceType": "Patient",
        "id": resource_id("Patient", options.patient_system, result.patient_id),
        "identifier": [identifier],
    }
    device = {
        "resourceType": "Device",
        "id": resource_id("Device", bundle_id),
        "status": "active",
        "deviceName": [{"name": "dr_pipeline, grader of diabetic retinopathy", "type": "user-friendly-name"}],
        "version": [{"value": f"dr_pipeline {__version__}, bundle {bundle_id}"}],
        "note": [{"text": RESEARCH_USE}],
    }
    common = {
        "status": PRELIMINARY,
        "subject": _reference(patient),
        **({"effectiveDateTime": day} if (day := _iso_date(result.visit)) else {}),
    }
    hashes = {row.image_id: row.sha256 for row in photographs}
    observations = [_observation(eye, common, device, hashes, bundle_id, options) for eye in eyes]
    report_id = resource_id("DiagnosticReport", options.patient_system, result.patient_id, result.visit, bundle_id)
    studies = sorted({options.study_uids[row.image_id] for row in photographs if row.image_id in options.study_uids})
    report = {
        "resourceType": "DiagnosticReport",
        "id": report_id,
        "language": options.language,
        "identifier": [_uri(f"urn:uuid:{report_id}")],
        **common,
        "category": [codes.REPORT_CATEGORY],
        "code": codes.REPORT,
        "conclusion": _conclusion(result),
        **({"result": [_reference(observation) for observation in observations]} if observations else {}),
        **({"imagingStudy": [_study(uid) for uid in studies]} if studies else {}),
        **({"conclusionCode": [codes.GRADES[result.grade]]} if result.grade is not None else {}),
    }
    return [patient, device, *observations, report]


def _observation(
    eye: EyeResult,
    common: Resource,
    device: Resource,
    hashes: Mapping[str, str],
    bundle_id: str,
    options: FhirOptions,
) -> Resource:
    observation_id = resource_id("Observation", options.patient_system, eye.patient_id, eye.visit, eye.eye, bundle_id)
    observation = {
        "resourceType": "Observation",
        "id": observation_id,
        "identifier": [_uri(f"urn:uuid:{observation_id}")],
        **common,
        "category": [codes.OBSERVATION_CATEGORY],
        "code": codes.SEVERITY[eye.eye],
        "bodySite": codes.BODY_SITE[eye.eye],
        "method": codes.METHOD,
        "device": _reference(device),
        "note": [{"text": RESEARCH_USE}],
    }
    needs_human = _component("Needs a human reader", valueBoolean=eye.needs_human)
    if eye.grade is None:
        absent = codes.UNGRADABLE if eye.status is EyeStatus.UNGRADABLE else codes.MISSING
        return observation | {
            "dataAbsentReason": absent,
            "interpretation": [codes.INDETERMINATE],
            "component": [needs_human],
        }
    return observation | {
        "valueCodeableConcept": codes.GRADES[eye.grade],
        "interpretation": [codes.REFERABLE if eye.referable else codes.NOT_REFERABLE],
        "derivedFrom": [{"type": "Media", "identifier": _uri(_named_information(hashes[eye.image_id]))}],
        "component": [
            _component("Referable at the locked operating point", valueBoolean=eye.referable),
            _component("Vision-threatening", valueBoolean=eye.vision_threatening),
            needs_human,
            *(
                _component(f"Probability of grade {grade}", valueQuantity=_number(probability))
                for grade, probability in enumerate(eye.probabilities or ())
            ),
            _component("Uncertainty (normalised entropy)", valueQuantity=_number(eye.uncertainty or 0.0)),
        ],
    }


def _conclusion(result: PatientResult) -> str:
    return result.text if RESEARCH_USE in result.text else f"{result.text} {RESEARCH_USE}".strip()


def _component(text: str, **value: Any) -> Resource:
    return {"code": codes.concept(text), **value}


def _number(value: float) -> Resource:
    return {"value": round(value, 6), "unit": "1", "system": codes.UCUM, "code": "1"}


def _reference(resource: Resource) -> Resource:
    return {"reference": _address(resource)}


def _address(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _uri(value: str) -> Resource:
    return {"system": codes.URI, "value": value}


def _named_information(sha256: str) -> str:
    """The URI of a file by its hash (RFC 6920)."""
    return f"ni:///sha-256;{urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip('=')}"


def _study(uid: str) -> Resource:
    return {"type": "ImagingStudy", "identifier": {"system": codes.DICOM_UID, "value": f"urn:oid:{uid}"}}


def _iso_date(visit: str) -> str:
    """The date of a visit that is written as one (20240131, 2024-01-31), else empty."""
    try:
        return date.fromisoformat(visit).isoformat() if len(visit) in (8, 10) and "W" not in visit else ""
    except ValueError:
        return ""


def transaction(resources: Sequence[Resource]) -> Resource:
    """The resources of one examination as a Bundle that a server takes wholly or not at all.

    A patient that the server knows by the identifier stays as it is; the other resources replace themselves.
    """
    patient = next(resource for resource in resources if resource["resourceType"] == "Patient")
    identifier = patient["identifier"][0]
    # Without a system the search is for identifiers that have none: another system's patient is another person.
    token = f"{_escaped(identifier.get('system', ''))}|{_escaped(identifier['value'])}"
    search = f"identifier={quote(token, safe='')}"
    requests = {patient["id"]: {"method": "POST", "url": "Patient", "ifNoneExist": search}}
    # Differ from all else in the resources: some servers replace such an address wherever it stands.
    addresses = {_address(resource): f"urn:uuid:{resource_id('entry', resource['id'])}" for resource in resources}
    entries = [
        {
            "fullUrl": url,
            "resource": _relinked(resource, addresses),
            "request": requests.get(resource["id"], {"method": "PUT", "url": address}),
        }
        for resource, (address, url) in zip(resources, addresses.items(), strict=True)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _escaped(text: str) -> str:
    """A part of a search parameter (FHIR R4, 3.1.1.4.0.1 "Escaping Search Parameters")."""
    return re.sub(r"([\\|,$])", r"\\\1", text)


def _relinked(value: Any, addresses: Mapping[str, str]) -> Any:
    """The same value with references to the Bundle's own entries, which the server replaces by its own addresses."""
    if isinstance(value, list):
        return [_relinked(item, addresses) for item in value]
    if not isinstance(value, dict):
        return value
    relinked = {name: _relinked(item, addresses) for name, item in value.items()}
    if (url := addresses.get(str(value.get("reference")))) is not None:
        relinked["reference"] = url
    return relinked
