"""Patient, eye, visit and a hash of the birth date from a DICOM header; nothing else of it is used."""

import io

from dr_pipeline.errors import ImageError
from dr_pipeline.files import sha256_bytes
from dr_pipeline.fundus.dicom.elements import read_elements, text
from dr_pipeline.fundus.dicom.recognise import looks_like_dicom
from dr_pipeline.intake.dicom_headers import laterality, pseudonym
from dr_pipeline.intake.patient_spelling import plain_text
from dr_pipeline.intake.placeholder_ids import is_placeholder
from dr_pipeline.scoring.sources.person import UNKNOWN, Person

_TAGS = (
    *("PatientID", "PatientBirthDate", "StudyDate"),
    *("ImageLaterality", "Laterality", "SharedFunctionalGroupsSequence"),
)


def person_of_header(data: bytes, *, salt: str) -> Person:
    """The person of a DICOM file: a pseudonym as `intake` makes it, laterality, dates of study and, hashed, of birth.

    Args:
        data: Any file; all is empty where it is no DICOM, or its header is corrupt, which the pixel path reports.
        salt: Of the pseudonyms.
    """
    if not looks_like_dicom(data):
        return UNKNOWN
    from dr_pipeline.fundus.dicom.quiet_pydicom import tag_for_keyword

    tags = [tag for tag in map(tag_for_keyword, _TAGS) if tag is not None]
    try:
        dataset = read_elements(io.BytesIO(data), len(data), tags=tags).dataset
        patient_id = text(dataset, "PatientID")
        is_known = bool(patient_id) and not is_placeholder(plain_text(patient_id))
        return Person(
            patient_id=pseudonym(patient_id, salt=salt) if is_known else "",
            eye=laterality(dataset),
            visit=text(dataset, "StudyDate"),
            birth_date_hash=_birth_date_hash(patient_id, text(dataset, "PatientBirthDate"), salt) if is_known else "",
        )
    except ImageError:
        return UNKNOWN


def _birth_date_hash(patient_id: str, birth_date: str, salt: str) -> str:
    """Eight hexadecimal digits; the patient's id in it makes a table of all dates useless. Empty where the date is."""
    digits = birth_date.replace(".", "").strip()  # 1950.02.01 in files before 1993
    return sha256_bytes(f"{salt}\0{patient_id}\0{digits}".encode("utf-8", "surrogateescape"))[:8] if digits else ""
