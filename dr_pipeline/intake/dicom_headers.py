"""Fills what a data set's table left empty from DICOM headers, and lists the header fields that identify a person.

Those fields are reported by name only; their values are never copied.
"""

import hashlib
import math
import re
import stat
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.camera import camera_name
from dr_pipeline.fundus.dicom.elements import read_elements, text, value
from dr_pipeline.fundus.dicom.recognise import is_dicom
from dr_pipeline.intake.patient_ids import check_patient_ids, patient_id_warnings
from dr_pipeline.intake.records import Intake, Record, shortlist
from dr_pipeline.schema import Eye

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

# Of the basic application level confidentiality profile (PS3.15, table E.1-1) the attributes that name, number,
# locate or describe the patient, or name the staff and the institution. Its UIDs, dates and times of the study, which
# every file has, are not listed: a finding in every file would hide those that matter.
_IDENTITY_FIELDS = """
PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime PatientBirthName PatientMotherBirthName
OtherPatientIDs OtherPatientIDsSequence OtherPatientNames PatientAddress PatientTelephoneNumbers
PatientTelecomInformation CountryOfResidence RegionOfResidence MilitaryRank BranchOfService MedicalRecordLocator
MedicalAlerts Allergies Occupation EthnicGroup AdditionalPatientHistory PatientComments
PatientInsurancePlanCodeSequence PatientReligiousPreference ResponsiblePerson ResponsibleOrganization AdmissionID
CurrentPatientLocation PatientInstitutionResidence VisitComments AccessionNumber StudyID InstitutionName
InstitutionAddress InstitutionalDepartmentName StationName DeviceSerialNumber ReferringPhysicianName
ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers ConsultingPhysicianName PhysiciansOfRecord
PerformingPhysicianName NameOfPhysiciansReadingStudy RequestingPhysician OperatorsName
ScheduledPerformingPhysicianName RequestAttributesSequence PersonName VerifyingObserverName ReviewerName
ImageComments StudyComments
"""
IDENTITY_FIELDS = tuple(_IDENTITY_FIELDS.split())
# Pseudonyms where the file states that the identity was removed (PS3.3, C.7.1.1, Patient Identity Removed).
_PSEUDONYMS = frozenset({"PatientName", "PatientID"})
_BURNED_IN = "BurnedInAnnotation"
_REMOVED = "PatientIdentityRemoved"
_PSEUDONYM_DIGITS = 16
_EYES = {"L": Eye.LEFT, "R": Eye.RIGHT}
_TAGS = (
    "ImageLaterality",
    "Laterality",
    "SharedFunctionalGroupsSequence",
    "Manufacturer",
    "ManufacturerModelName",
    "PixelSpacing",
    "PatientID",
    _BURNED_IN,
    _REMOVED,
    *IDENTITY_FIELDS,
)


@dataclass(frozen=True)
class HeaderFields:
    """The fields of one DICOM header that the manifest uses, without personal data.

    Attributes:
        eye: From ImageLaterality, Laterality or FrameLaterality; unknown where it is both eyes, or absent.
        camera: Manufacturer and model.
        pixel_spacing_mm: On the retina: one number, or row and column spacing separated by a slash.
        patient_id: A pseudonym; empty where the header has no PatientID.
        identity: Names of the fields that identify a person.
        raw_patient_id: As in the header; compared with other ids, then dropped.
    """

    eye: Eye
    camera: str
    pixel_spacing_mm: str
    patient_id: str
    identity: tuple[str, ...]
    raw_patient_id: str = field(repr=False)


def fill_from_headers(intake: Intake, root: Path, *, salt: str, unknown_patient_ids: Collection[str] = ()) -> Intake:
    """Fills eye, camera, pixel spacing and patient from DICOM headers, where the data set left them empty.

    All patient ids, of the table and of headers, are checked before those of headers are hashed.

    A header that cannot be read changes nothing: the pixel path gives the file its status and reason later.

    Args:
        intake: The adapter's result.
        root: The folder that the records' paths are relative to.
        salt: Makes patients' pseudonyms differ from those of another data set; keep it as secret as the ids.
        unknown_patient_ids: Further placeholders of this data set.

    Returns:
        The intake with filled records, warnings, `identity` and `patient_ids`.
    """
    headers: dict[str, HeaderFields] = {}
    unreadable: list[str] = []
    for record in intake.records:
        path = root / record.path
        if not is_dicom(path):  # whatever its name: archives write x.jpg too, and the pixel path reads it
            continue
        try:
            headers[record.image_id] = read_header(path, salt=salt)
        except ImageError:
            unreadable.append(record.image_id)
    raw_ids = {image_id: header.raw_patient_id for image_id, header in headers.items()}
    raw_ids |= {record.image_id: record.patient_id for record in intake.records if record.patient_id}
    findings = check_patient_ids(raw_ids, unknown_patient_ids)
    return replace(
        intake,
        records=tuple(_fill(record, headers.get(record.image_id)) for record in intake.records),
        warnings=(*intake.warnings, *_warnings(intake, headers, unreadable), *patient_id_warnings(findings)),
        identity=tuple((image_id, header.identity) for image_id, header in headers.items() if header.identity),
        patient_ids=tuple(findings),
    )


def read_header(path: Path, *, salt: str) -> HeaderFields:
    """Reads one DICOM header, up to its pixels.

    Raises:
        ImageError: The file or its header cannot be read. The message quotes no value.
    """
    from dr_pipeline.fundus.dicom.quiet_pydicom import tag_for_keyword

    tags = [tag for tag in map(tag_for_keyword, _TAGS) if tag is not None]
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("not a regular file", where=str(path))
        with path.open("rb") as stream:
            dataset = read_elements(stream, status.st_size, tags=tags).dataset
    except OSError as error:
        raise ImageError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    raw_patient_id = text(dataset, "PatientID")
    return HeaderFields(
        eye=laterality(dataset),
        camera=camera_name(text(dataset, "Manufacturer"), text(dataset, "ManufacturerModelName")),
        pixel_spacing_mm=_spacing(dataset),
        patient_id=pseudonym(raw_patient_id, salt=salt),
        identity=_identity(dataset),
        raw_patient_id=raw_patient_id,
    )


def pseudonym(patient_id: str, *, salt: str) -> str:
    """A salted hash of the id, which cannot be reversed without the salt; empty where the id is."""
    if not patient_id:
        return ""
    digest = hashlib.sha256(f"{salt}\0{patient_id}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"dicom-{digest[:_PSEUDONYM_DIGITS]}"


def _fill(record: Record, header: HeaderFields | None) -> Record:
    if header is None:
        return record
    return replace(
        record,
        eye=record.eye or header.eye,
        camera=record.camera or header.camera,
        pixel_spacing_mm=record.pixel_spacing_mm or header.pixel_spacing_mm,
        patient_id=record.patient_id or header.patient_id,
    )


def laterality(dataset: "Dataset") -> Eye:
    """The eye by ImageLaterality, Laterality or FrameLaterality; unknown where it is both eyes, or absent."""
    for keyword in ("ImageLaterality", "Laterality"):
        laterality = text(dataset, keyword)
        if laterality:
            return _EYES.get(laterality, Eye.UNKNOWN)
    for group in value(dataset, "SharedFunctionalGroupsSequence") or ():
        for anatomy in value(group, "FrameAnatomySequence") or ():
            return _EYES.get(text(anatomy, "FrameLaterality"), Eye.UNKNOWN)
    return Eye.UNKNOWN


def _spacing(dataset: "Dataset") -> str:
    """PixelSpacing (0028,0030): for ophthalmic photographs the distance on the retina (PS3.3, C.8.17.2)."""
    spacing = value(dataset, "PixelSpacing")
    numbers = [str(number) for number in spacing] if spacing is not None and len(spacing) == 2 else []
    if not all(re.fullmatch(r"[0-9.eE+-]{1,16}", number) and _is_length(number) for number in numbers):
        return ""
    return numbers[0] if len(set(numbers)) == 1 else "/".join(numbers)


def _is_length(number: str) -> bool:
    try:
        return math.isfinite(float(number)) and float(number) > 0
    except ValueError:
        return False


def _identity(dataset: "Dataset") -> tuple[str, ...]:
    """The names of the fields that identify a person, and `BurnedInAnnotation` where the header has it as YES.

    A field counts where it is present and not empty; its content is not read.
    """
    ignored = _PSEUDONYMS if text(dataset, _REMOVED) == "YES" else frozenset()
    names = tuple(name for name in IDENTITY_FIELDS if name not in ignored and _is_filled(dataset, name))
    return names + ((_BURNED_IN,) if text(dataset, _BURNED_IN) == "YES" else ())


def _is_filled(dataset: "Dataset", keyword: str) -> bool:
    from dr_pipeline.fundus.dicom.quiet_pydicom import tag_for_keyword

    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return False
    element: Any = dataset.get_item(tag)
    content = element.value  # bytes as stored in the file, or a sequence; None where empty
    return bool(content.strip(b" \0") if isinstance(content, bytes) else content)


def _warnings(intake: Intake, headers: dict[str, HeaderFields], unreadable: list[str]) -> list[str]:
    pairs = [(record, headers[record.image_id]) for record in intake.records if record.image_id in headers]
    other_eye = [record.image_id for record, header in pairs if record.eye and header.eye not in ("", record.eye)]
    from_table = sum(bool(record.patient_id) for record in intake.records)
    from_header = sum(bool(header.patient_id and not record.patient_id) for record, header in pairs)
    identifying = Counter(name for _, header in pairs for name in header.identity)
    warnings = []
    if other_eye:
        warnings.append(
            "the table's eye contradicts the DICOM header's (the table's is kept; one of them is wrong, or the picture "
            f"was mirrored): {shortlist(other_eye)}"
        )
    if from_table and from_header:
        warnings.append(
            f"patients come from the table for {from_table} photographs and from DICOM headers for "
            f"{from_header}: one person may count as two"
        )
    if identifying:
        fields = ", ".join(f"{name} ({count})" for name, count in sorted(identifying.items()))
        warnings.append(f"DICOM headers hold identity, which is not copied on; remove it before sharing: {fields}")
    if unreadable:
        warnings.append(f"DICOM headers that cannot be read: {shortlist(unreadable)}")
    return warnings
