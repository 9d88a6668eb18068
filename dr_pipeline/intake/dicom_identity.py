"""Which header fields of a DICOM file hold a person's identity: by name only, their values are never taken over."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

# Of the basic application level confidentiality profile (PS3.15, table E.1-1) the attributes that name, number,
# locate or describe the patient, or name the staff and the institution. Its UIDs, dates and times of the study, which
# every file has, are not listed: a finding in every file would hide those that matter.
IDENTITY_FIELDS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientBirthName",
    "PatientMotherBirthName",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientTelecomInformation",
    "CountryOfResidence",
    "RegionOfResidence",
    "MilitaryRank",
    "BranchOfService",
    "MedicalRecordLocator",
    "MedicalAlerts",
    "Allergies",
    "Occupation",
    "EthnicGroup",
    "AdditionalPatientHistory",
    "PatientComments",
    "PatientInsurancePlanCodeSequence",
    "PatientReligiousPreference",
    "ResponsiblePerson",
    "ResponsibleOrganization",
    "AdmissionID",
    "CurrentPatientLocation",
    "PatientInstitutionResidence",
    "VisitComments",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "ReferringPhysicianName",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
    "ConsultingPhysicianName",
    "PhysiciansOfRecord",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "RequestingPhysician",
    "OperatorsName",
    "ScheduledPerformingPhysicianName",
    "RequestAttributesSequence",
    "PersonName",
    "VerifyingObserverName",
    "ReviewerName",
    "ImageComments",
    "StudyComments",
)
# Where the file says that these were replaced, they hold a pseudonym (PS3.3, C.7.1.1, Patient Identity Removed).
_PSEUDONYMS = frozenset({"PatientName", "PatientID"})
BURNED_IN = "BurnedInAnnotation"
REMOVED = "PatientIdentityRemoved"


def identity_fields(dataset: "Dataset") -> tuple[str, ...]:
    """The names of the fields that hold identity, and `BurnedInAnnotation` where the file says the picture does.

    A field counts where it is there and not empty; what it holds is not looked at.

    Args:
        dataset: A header read with `IDENTITY_FIELDS`, `BURNED_IN` and `REMOVED` among its tags.
    """
    from dr_pipeline.fundus.dicom.dataset import text

    ignored = _PSEUDONYMS if text(dataset, REMOVED) == "YES" else frozenset()
    found = tuple(name for name in IDENTITY_FIELDS if name not in ignored and _holds_something(dataset, name))
    return found + ((BURNED_IN,) if text(dataset, BURNED_IN) == "YES" else ())


def _holds_something(dataset: "Dataset", keyword: str) -> bool:
    from dr_pipeline.fundus.dicom.quiet_pydicom import tag_for_keyword

    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return False
    element: Any = dataset.get_item(tag)
    value = element.value  # bytes as they stand in the file, or a sequence; None where empty
    return bool(value.strip(b" \0") if isinstance(value, bytes) else value)
