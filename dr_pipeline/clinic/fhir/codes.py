"""The codes of the FHIR resources, each with where it was looked up.

LOINC 71490-7 and 71491-5, "… eye Diabetic retinopathy severity level by Ophthalmoscopy", and their answer list LL2117-1
(https://loinc.org/LL2117-1) have the five grades of the International Clinical DR scale. No LOINC term for graded
photographs was found; software that grades photographs uses these (VeriSee DR), and a quality measure counts them
(CMS131). What was done stands in `Observation.method`. LOINC 105914-6, "Eye Diabetic retinopathy screening Autonomous
artificial intelligence", is by its definition for software that the FDA has cleared and is therefore not used.
LOINC 104212-6, "Views screening for diabetic retinopathy of Eyes": an active term whose scale is a document
(https://www.healthassure.in/codes/loinc-104212-6-views-screening-for-diabetic-retinopathy-of-eyes).

SNOMED CT: value set "Level of Severity of Retinopathy Findings" (OID 2.16.840.1.113883.3.526.3.1283) for the grades 1
to 4; 362502000 and 362503005 as published FHIR Observations of visual acuity have them. Where there is no licence for
SNOMED CT these codings may be dropped: grades have LOINC's too, and the eye stands in the code of the Observation.

Data absent: http://terminology.hl7.org/CodeSystem/data-absent-reason. Interpretation: HL7 v3 ObservationInterpretation.
Category: observation-category `imaging`; HL7 v2 table 0074 `IMG`.
"""

from typing import Any

from dr_pipeline.schema import Eye

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
URI = "urn:ietf:rfc:3986"  # the value of such an identifier is a URI
DICOM_UID = "urn:dicom:uid"
_HL7 = "http://terminology.hl7.org/CodeSystem"


def concept(text: str, *codings: tuple[str, str, str]) -> dict[str, Any]:
    """A CodeableConcept: its text, then codings (system, code, display)."""
    coded = [{"system": system, "code": code, "display": display} for system, code, display in codings]
    return {"text": text, **({"coding": coded} if coded else {})}


REPORT = concept(
    "Screening for diabetic retinopathy, graded by software",
    (LOINC, "104212-6", "Views screening for diabetic retinopathy of Eyes"),
)
REPORT_CATEGORY = concept("Diagnostic Imaging", (f"{_HL7}/v2-0074", "IMG", "Diagnostic Imaging"))
OBSERVATION_CATEGORY = concept("Imaging", (f"{_HL7}/observation-category", "imaging", "Imaging"))
METHOD = concept("Automated grading of colour fundus photographs")

SEVERITY = {
    eye: concept(
        f"Severity of diabetic retinopathy, {eye} eye",
        (LOINC, code, f"{eye.capitalize()} eye Diabetic retinopathy severity level by Ophthalmoscopy"),
    )
    for eye, code in ((Eye.LEFT, "71490-7"), (Eye.RIGHT, "71491-5"))
}
BODY_SITE = {
    Eye.LEFT: concept("Left eye", (SNOMED, "362503005", "Entire left eye")),
    Eye.RIGHT: concept("Right eye", (SNOMED, "362502000", "Entire right eye")),
}
GRADES = (
    concept("No apparent retinopathy", (LOINC, "LA18643-9", "No apparent retinopathy")),
    concept(
        "Mild non-proliferative diabetic retinopathy",
        (LOINC, "LA18644-7", "Mild non-proliferative retinopathy"),
        (SNOMED, "312903003", "Mild nonproliferative retinopathy due to diabetes mellitus"),
    ),
    concept(
        "Moderate non-proliferative diabetic retinopathy",
        (LOINC, "LA18645-4", "Moderate non-proliferative retinopathy"),
        (SNOMED, "312904009", "Moderate nonproliferative retinopathy due to diabetes mellitus"),
    ),
    concept(
        "Severe non-proliferative diabetic retinopathy",
        (LOINC, "LA18646-2", "Severe non-proliferative retinopathy"),
        (SNOMED, "312905005", "Severe nonproliferative retinopathy due to diabetes mellitus"),
    ),
    concept(
        "Proliferative diabetic retinopathy",
        (LOINC, "LA18648-8", "Proliferative retinopathy"),
        (SNOMED, "59276001", "Proliferative retinopathy due to diabetes mellitus"),
    ),
)
UNGRADABLE = concept(
    "Ungradable: the photographs are not clear enough", (f"{_HL7}/data-absent-reason", "unknown", "Unknown")
)
MISSING = concept("No usable photograph", (f"{_HL7}/data-absent-reason", "not-performed", "Not Performed"))
_INTERPRETATION = f"{_HL7}/v3-ObservationInterpretation"
REFERABLE = concept("Referable", (_INTERPRETATION, "POS", "Positive"))
NOT_REFERABLE = concept("Not referable", (_INTERPRETATION, "NEG", "Negative"))
INDETERMINATE = concept("Indeterminate", (_INTERPRETATION, "IND", "Indeterminate"))
