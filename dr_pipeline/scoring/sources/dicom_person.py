"""Patient, eye and visit from a DICOM header; nothing else of it is used."""

import io

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.elements import read_elements, text
from dr_pipeline.fundus.dicom.recognise import looks_like_dicom
from dr_pipeline.intake.dicom_headers import laterality, pseudonym
from dr_pipeline.intake.patient_spelling import plain_text
from dr_pipeline.intake.placeholder_ids import is_placeholder
from dr_pipeline.scoring.sources.person import UNKNOWN, Person

_TAGS = ("PatientID", "ImageLaterality", "Laterality", "SharedFunctionalGroupsSequence", "StudyDate")


def person_of_header(data: bytes, *, salt: str) -> Person:
    """The person of a DICOM file: a pseudonym as `intake` makes it, laterality, date of the study.

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
        )
    except ImageError:
        return UNKNOWN
