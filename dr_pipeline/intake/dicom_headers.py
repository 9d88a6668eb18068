"""Fills what a data set's table left empty from DICOM headers, and flags the identity in them."""

import hashlib
import math
import re
import stat
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.dataset import read_elements, text, value
from dr_pipeline.fundus.dicom.recognise import is_dicom
from dr_pipeline.intake.dicom_identity import BURNED_IN, IDENTITY_FIELDS, REMOVED, identity_fields
from dr_pipeline.intake.records import Intake, Record, listed
from dr_pipeline.schema import Eye

if TYPE_CHECKING:
    from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset

_PSEUDONYM_DIGITS = 16
_EYES = {"L": Eye.LEFT, "R": Eye.RIGHT}
_READ = (
    "ImageLaterality",
    "Laterality",
    "SharedFunctionalGroupsSequence",
    "Manufacturer",
    "ManufacturerModelName",
    "PixelSpacing",
    "PatientID",
    BURNED_IN,
    REMOVED,
    *IDENTITY_FIELDS,
)


@dataclass(frozen=True)
class HeaderFacts:
    """What one DICOM header tells of its photograph, without a word of the person's.

    Attributes:
        eye: Of ImageLaterality, Laterality or FrameLaterality; unknown where it says both, or nothing.
        camera: Manufacturer and model.
        pixel_spacing_mm: On the retina: one number, or row and column spacing with a slash between.
        patient_id: A pseudonym; empty where the header has no PatientID.
        identity: Names of the fields that hold identity.
    """

    eye: Eye
    camera: str
    pixel_spacing_mm: str
    patient_id: str
    identity: tuple[str, ...]


def enrich(intake: Intake, root: Path, *, salt: str) -> Intake:
    """Fills eye, camera, pixel spacing and patient from DICOM headers, where the data set left them empty.

    A header that cannot be read changes nothing: the pixel path gives the file its status and reason later.

    Args:
        intake: What the adapter found.
        root: The folder that the records' paths are relative to.
        salt: Makes patients' pseudonyms unlike those of another data set; keep it as secret as the ids.

    Returns:
        The intake with filled records, warnings and `identity`.
    """
    facts = {record.image_id: _facts(root / record.path, salt) for record in intake.records}
    found = {image_id: fact for image_id, fact in facts.items() if isinstance(fact, HeaderFacts)}
    records = tuple(_filled(record, found.get(record.image_id)) for record in intake.records)
    return replace(
        intake,
        records=records,
        warnings=(*intake.warnings, *_warnings(intake, facts)),
        identity=tuple((image_id, fact.identity) for image_id, fact in found.items() if fact.identity),
    )


def read_header_facts(path: Path, *, salt: str) -> HeaderFacts:
    """Reads one DICOM header, up to its pixels.

    Raises:
        ImageError: The file cannot be read, or its header makes no sense. The message quotes no value.
    """
    from dr_pipeline.fundus.dicom.quiet_pydicom import tag_for_keyword

    tags = [tag for tag in map(tag_for_keyword, _READ) if tag is not None]
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError("not a regular file", where=str(path))
        with path.open("rb") as stream:
            dataset = read_elements(stream, facts.st_size, tags=tags).dataset
    except OSError as error:
        raise ImageError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    return HeaderFacts(
        eye=_eye(dataset),
        camera=" ".join(filter(None, (text(dataset, "Manufacturer"), text(dataset, "ManufacturerModelName")))),
        pixel_spacing_mm=_spacing(dataset),
        patient_id=pseudonym(text(dataset, "PatientID"), salt=salt),
        identity=identity_fields(dataset),
    )


def pseudonym(patient_id: str, *, salt: str) -> str:
    """The same for the same id and salt, and without the salt not to be undone; empty where the id is."""
    if not patient_id:
        return ""
    digest = hashlib.sha256(f"{salt}\0{patient_id}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"dicom-{digest[:_PSEUDONYM_DIGITS]}"


def _facts(path: Path, salt: str) -> HeaderFacts | ImageError | None:
    """None where the file is no DICOM by its content; the error where its header cannot be read."""
    if not is_dicom(path):  # whatever its name: archives write x.jpg as well, and the pixel path reads it
        return None
    try:
        return read_header_facts(path, salt=salt)
    except ImageError as error:
        return error


def _filled(record: Record, fact: HeaderFacts | None) -> Record:
    if fact is None:
        return record
    return replace(
        record,
        eye=record.eye or fact.eye,
        camera=record.camera or fact.camera,
        pixel_spacing_mm=record.pixel_spacing_mm or fact.pixel_spacing_mm,
        patient_id=record.patient_id or fact.patient_id,
    )


def _eye(dataset: "Dataset") -> Eye:
    for keyword in ("ImageLaterality", "Laterality"):
        said = text(dataset, keyword)
        if said:
            return _EYES.get(said, Eye.UNKNOWN)
    groups = value(dataset, "SharedFunctionalGroupsSequence") or ()
    for group in groups:
        for anatomy in value(group, "FrameAnatomySequence") or ():
            return _EYES.get(text(anatomy, "FrameLaterality"), Eye.UNKNOWN)
    return Eye.UNKNOWN


def _spacing(dataset: "Dataset") -> str:
    """PixelSpacing (0028,0030): for ophthalmic photographs the distance on the retina (PS3.3, C.8.17.2)."""
    found = value(dataset, "PixelSpacing")
    numbers = [str(number) for number in found] if found is not None and len(found) == 2 else []
    if not all(re.fullmatch(r"[0-9.eE+-]{1,16}", number) and _is_length(number) for number in numbers):
        return ""
    return numbers[0] if len(set(numbers)) == 1 else "/".join(numbers)


def _is_length(number: str) -> bool:
    try:
        return math.isfinite(float(number)) and float(number) > 0
    except ValueError:
        return False


def _warnings(intake: Intake, facts: dict[str, HeaderFacts | ImageError | None]) -> list[str]:
    unread = [image_id for image_id, fact in facts.items() if isinstance(fact, ImageError)]
    headers = {image_id: fact for image_id, fact in facts.items() if isinstance(fact, HeaderFacts)}
    opposed: list[str] = []
    sources: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    for record in intake.records:
        fact = headers.get(record.image_id)
        if record.patient_id:
            sources["table"] += 1
        if fact is None:
            continue
        if not record.patient_id and fact.patient_id:
            sources["header"] += 1
        if record.eye and fact.eye and record.eye != fact.eye:
            opposed.append(record.image_id)
        flagged.update(fact.identity)
    warnings = []
    if opposed:
        warnings.append(
            "the table's eye contradicts the DICOM header's (the table's is kept; one of them is wrong, or the picture "
            f"was mirrored): {listed(opposed)}"
        )
    if sources["table"] and sources["header"]:
        warnings.append(
            f"patients come from the table for {sources['table']} photographs and from DICOM headers for "
            f"{sources['header']}: one person may count as two"
        )
    if flagged:
        fields = ", ".join(f"{name} ({count})" for name, count in sorted(flagged.items()))
        warnings.append(f"DICOM headers hold identity, which is not copied on; remove it before sharing: {fields}")
    if unread:
        warnings.append(f"DICOM headers that cannot be read: {listed(unread)}")
    return warnings
