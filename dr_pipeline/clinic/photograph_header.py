"""What a report needs of a photograph's DICOM header: whose it is, and how it is cited."""

import io
import re
from dataclasses import dataclass, field
from datetime import date, time
from typing import TYPE_CHECKING

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.elements import read_elements, text, value
from dr_pipeline.intake.dicom_headers import laterality
from dr_pipeline.schema import Eye

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

# Modules Patient, General Study and Patient Study (PS3.3, C.7.1.1, C.7.2.1, C.7.2.2): what a PACS files a report by,
# and what it shows beside it.
_COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "StudyDescription", "ReferringPhysicianName"),
)
_DATES, _TIMES = ("PatientBirthDate", "StudyDate"), ("StudyTime",)
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_EYE = ("ImageLaterality", "Laterality", "SharedFunctionalGroupsSequence")
_CHARACTER_SET = "SpecificCharacterSet"
# PS3.5, 9.1: components without leading zeros, up to 64 characters.
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", re.ASCII)
_MAX_UID = 64
# Three groups of a name's components (PS3.5, 6.2) have less; what is longer would fill the state.
_MAX_VALUE = 256
# Stands for bytes that the declared character set does not have.
_UNREADABLE = "\ufffd"


@dataclass(frozen=True)
class PhotographHeader:
    """A photograph's identity. Holds a patient's data: never print or log it.

    Attributes:
        sop_class: UID of the photograph's class.
        sop_instance: UID of the photograph.
        study: UID of its study.
        series: UID of its series.
        eye: Unknown where it is both eyes, or absent.
        elements: Elements of the patient and the study by keyword, as text; what breaks the standard is empty.
        notes: What a reader of the report must know of the header, in plain words without values.
    """

    sop_class: str
    sop_instance: str
    study: str
    series: str
    eye: Eye
    elements: dict[str, str] = field(repr=False)
    notes: tuple[str, ...]


def is_uid(uid: str) -> bool:
    """Whether it is a UID of the standard, and so also a safe file name."""
    return len(uid) <= _MAX_UID and _UID.fullmatch(uid) is not None


def read_photograph_header(data: bytes) -> PhotographHeader:
    """Reads the header of a DICOM file.

    Args:
        data: The whole file.

    Raises:
        ImageError: The header is corrupt, or lacks a UID by which a report cites the photograph. No value is quoted.
    """
    from dr_pipeline.fundus.dicom.quiet_pydicom import tag_for_keyword

    tags = [tag for tag in map(tag_for_keyword, (*_UIDS, *_EYE, _CHARACTER_SET, *_COPIED)) if tag is not None]
    dataset = read_elements(io.BytesIO(data), len(data), tags=tags).dataset
    sop_class, sop_instance, study, series = (_uid(dataset, keyword) for keyword in _UIDS)
    elements = {keyword: text(dataset, keyword)[:_MAX_VALUE] for keyword in _COPIED}
    eye = laterality(dataset)
    notes = []
    if not eye:
        notes.append("The header does not say which eye this is.")
    if not _character_set_is_known(dataset) or any(_UNREADABLE in each for each in elements.values()):
        notes.append("The header's character set is not valid: names may be displayed wrongly.")
    elements |= {keyword: _standard_date(elements[keyword]) for keyword in _DATES}
    elements |= {keyword: _standard_time(elements[keyword]) for keyword in _TIMES}
    elements["PatientSex"] = elements["PatientSex"] if elements["PatientSex"] in ("M", "F", "O") else ""
    return PhotographHeader(sop_class, sop_instance, study, series, eye, elements, tuple(notes))


def _uid(dataset: "Dataset", keyword: str) -> str:
    uid = text(dataset, keyword)
    if not is_uid(uid):
        raise ImageError(f"DICOM whose {keyword} is {'no UID' if uid else 'absent'}")
    return uid


def _character_set_is_known(dataset: "Dataset") -> bool:
    from pydicom.charset import python_encoding

    declared = value(dataset, _CHARACTER_SET) or ""
    return all(term in python_encoding for term in ([declared] if isinstance(declared, str) else declared))


def _standard_date(text: str) -> str:
    """A date as DICOM writes it, YYYYMMDD; empty where it is none."""
    digits = text.replace(".", "")  # as files before 1993 have it
    try:
        return digits if len(digits) == 8 and digits.isascii() and date.fromisoformat(digits) else ""
    except ValueError:
        return ""


def _standard_time(text: str) -> str:
    """A time as DICOM writes it, HHMMSS, its fraction left out; empty where it is none."""
    digits = text.replace(":", "").partition(".")[0]
    try:
        return digits if len(digits) == 6 and digits.isascii() and isinstance(time.fromisoformat(digits), time) else ""
    except ValueError:
        return ""
