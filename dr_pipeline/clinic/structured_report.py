"""A DICOM structured report for one photograph: what the row of predictions.csv states, for a PACS.

Comprehensive SR after TID 1500 "Measurement Report": one TID 1501 measurement group, which cites the photograph, with
TID 4019 "Algorithm Identification". Its codes:

| code | of | stands in |
|---|---|---|
| 126000, 121007, 121106, 111029, 111050, 111235, 111237 | DCM | PS3.16, annex D |
| 5665001 Retina, 7771000 Left, 24028007 Right, 373066001 Yes, 373067005 No | SCT | PS3.16, CID 4209, 244, 230 |
| 246112005 Severity | SCT | PS3.16; pydicom.sr.codedict |
| 134395001 Diabetic retinopathy screening | SCT | SNOMED CT, as the FHIR guide of Thailand uses it |
| LA18643-9 … LA18648-8, the five grades | LN | LOINC answer list LL2117-1, https://loinc.org/LL2117-1 |
| 99DRP | this package | what no standard has a code for; the report declares the scheme |

The report is marked as research (Content Qualification) and as unverified.
"""

import io
import re
import uuid
from datetime import datetime

from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement

from dr_pipeline import __version__
from dr_pipeline.clinic.photograph_header import PhotographHeader
from dr_pipeline.fundus.dicom.quiet_pydicom import Dataset
from dr_pipeline.schema import GRADE_NAMES, RESEARCH_USE, Eye, Status
from dr_pipeline.tables.predictions import PredictionRow

_PRODUCT = "dr_pipeline"
_SCHEME = "99DRP"
_SERIES_NUMBER = 9900
# Names that this package's UIDs are derived from (PS3.5, B.2: UUIDs below 2.25).
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://dr_pipeline.invalid/structured-report")
_LOINC_GRADES = (
    ("LA18643-9", "No apparent retinopathy"),
    ("LA18644-7", "Mild non-proliferative retinopathy"),
    ("LA18645-4", "Moderate non-proliferative retinopathy"),
    ("LA18646-2", "Severe non-proliferative retinopathy"),
    ("LA18648-8", "Proliferative retinopathy"),
)
_STATUS_MEANINGS = {
    Status.SCORED: "Graded",
    Status.UNGRADABLE: "Quality too low for a grade",
    Status.NOT_FUNDUS: "No colour photograph of a fundus",
    Status.FAILED: "Cannot be read",
}
_QUALITY = {
    Status.SCORED: ("111237", "Usable - Meets the quality control standard"),
    Status.UNGRADABLE: ("111235", "Unusable - Quality renders image unusable"),
}
_MAX_TEXT = 1024


def report_uid(sop_instance: str, sha256: str, bundle_id: str) -> str:
    """The UID of the report on these bytes with this bundle: a report that is sent again is the same instance."""
    return _derived_uid("report", sop_instance, sha256, bundle_id)


def make_report(row: PredictionRow, header: PhotographHeader, *, now: datetime) -> bytes:
    """The report on one photograph, as a DICOM file (explicit little-endian).

    Args:
        row: What was found; a grade stands in the report only where it stands in the row.
        header: The photograph's.
        now: The report's date and time.
    """
    comments = _comments(row, header)
    evidence = _evidence(header, "".join([*comments, *header.elements.values()]))
    report = sr.ComprehensiveSR(
        evidence=[evidence],
        content=_content(row, header, comments),
        series_instance_uid=_derived_uid("series", header.study, row.bundle_id),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=report_uid(header.sop_instance, row.sha256, row.bundle_id),
        instance_number=1,
        manufacturer=_PRODUCT,
        manufacturer_model_name=_PRODUCT,
        software_versions=__version__,
        series_description="Automatic grading of diabetic retinopathy (research)",
        content_qualification="RESEARCH",
        coding_schemes=[CodingSchemeIdentificationItem(_SCHEME, name=_PRODUCT, version=__version__)],
        content_date=now.date(),
        content_time=now.time(),
        is_complete=True,
        specific_character_set=evidence.get("SpecificCharacterSet"),
    )
    for keyword, value in header.elements.items():
        report.add(_element(keyword, value))
    with io.BytesIO() as file:
        report.save_as(file, enforce_file_format=True)
        return file.getvalue()


def _evidence(header: PhotographHeader, text: str) -> Dataset:
    """The photograph as highdicom cites it, without values of the patient, which highdicom and pydicom would log.

    Args:
        header: The photograph's.
        text: What the report's character set must have.
    """
    dataset = Dataset()
    if character_set := _character_set(text):
        dataset.SpecificCharacterSet = character_set
    dataset.SOPClassUID, dataset.SOPInstanceUID = header.sop_class, header.sop_instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = header.study, header.series
    for keyword in header.elements:
        setattr(dataset, keyword, "")
    return dataset


def _element(keyword: str, value: str) -> DataElement:
    """An element as the photograph has it, whether or not it keeps to the standard's lengths."""
    return DataElement(tag_for_keyword(keyword) or 0, dictionary_VR(keyword), value, validation_mode=config.IGNORE)


def _character_set(text: str) -> str:
    """The smallest character set for a text (PS3.3, C.12.1.1.2): that of DICOM itself, Latin 1, or UTF-8."""
    if text.isascii():
        return ""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return "ISO_IR 192"
    return "ISO_IR 100"


def _content(row: PredictionRow, header: PhotographHeader, comments: list[str]) -> sr.MeasurementReport:
    eye = {Eye.LEFT: ("7771000", "Left"), Eye.RIGHT: ("24028007", "Right")}.get(header.eye)
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=_derived_uid("group", header.sop_instance, row.sha256, row.bundle_id), identifier="Photograph"
        ),
        algorithm_id=sr.AlgorithmIdentification(
            name=_PRODUCT, version=__version__, parameters=[f"bundle {row.bundle_id}"], manufacturer=_PRODUCT
        ),
        finding_sites=[sr.FindingSite(_sct("5665001", "Retina"), laterality=_sct(*eye) if eye else None)],
        measurements=_measurements(row),
        qualitative_evaluations=_evaluations(row),
        source_images=[sr.SourceImageForMeasurementGroup(header.sop_class, header.sop_instance)],
    )
    device = sr.ObserverContext(
        observer_type=_dcm("121007", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=_derived_uid("device", row.bundle_id), name=_PRODUCT, model_name=f"bundle {row.bundle_id}"[:64]
        ),
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=_sct("134395001", "Diabetic retinopathy screening"),
        imaging_measurements=[group],
        title=_dcm("126000", "Imaging Measurement Report"),
    )
    for comment in comments:
        report[0].ContentSequence.append(
            sr.TextContentItem(_dcm("121106", "Comment"), comment, relationship_type="CONTAINS")
        )
    return report


def _evaluations(row: PredictionRow) -> list[sr.QualitativeEvaluation]:
    found = [(_own("STATUS", "Status"), _own(row.status.name, _STATUS_MEANINGS[row.status]))]
    if row.status is Status.SCORED:
        found.append(
            (_dcm("111050", "Quality Assessment"), _dcm("111237", "Usable - Meets the quality control standard"))
        )
    if row.status is Status.UNGRADABLE:
        found.append(
            (_dcm("111050", "Quality Assessment"), _dcm("111235", "Unusable - Quality renders image unusable"))
        )
    if row.grade is not None:
        value, meaning = _LOINC_GRADES[row.grade]
        found.append((_sct("246112005", "Severity"), _code(value, "LN", meaning)))
    if row.referable is not None:
        found.append((_own("REFERABLE", "Referable diabetic retinopathy"), _yes_no(row.referable)))
    if row.vision_threatening is not None:
        found.append((_own("VISION_THREAT", "Vision-threatening retinopathy"), _yes_no(row.vision_threatening)))
    found.append((_own("NEEDS_HUMAN", "A person must look at the photograph"), _yes_no(row.needs_human)))
    return [sr.QualitativeEvaluation(name, value) for name, value in found]


def _measurements(row: PredictionRow) -> list[sr.Measurement]:
    found = [
        (_own(f"P{grade}", f"Probability of grade {grade} ({GRADE_NAMES[grade]})"), probability)
        for grade, probability in enumerate(row.probabilities or ())
    ]
    if row.referable_probability is not None:
        found.append((_own("P_REFERABLE", "Probability of referable retinopathy"), row.referable_probability))
    if row.expected_grade is not None:
        found.append((_own("EXPECTED_GRADE", "Expected grade, 0 to 4"), row.expected_grade))
    if row.quality is not None:  # by its definition from 0 to 100
        found.append((_dcm("111029", "Image Quality Rating"), 100 * row.quality))
    return [sr.Measurement(name, round(value, 6), unit=_code("1", "UCUM", "no units")) for name, value in found]


def _comments(row: PredictionRow, header: PhotographHeader) -> list[str]:
    """What a person reads first."""
    if row.grade is not None:
        result = f"Grade {row.grade} ({GRADE_NAMES[row.grade]})."
        result += " Referable." if row.referable else " Not referable."
    else:
        result = f"No grade: {_STATUS_MEANINGS[row.status].lower()}" + (f" ({row.reason})." if row.reason else ".")
    human = ["A person must look at this photograph."] if row.needs_human else []
    comments = [RESEARCH_USE, " ".join([result, *human, *header.notes])]
    return [re.sub(r"[\x00-\x1f\x7f]+", " ", comment)[:_MAX_TEXT] for comment in comments]


def _code(value: str, scheme: str, meaning: str) -> sr.CodedConcept:
    return sr.CodedConcept(value, scheme, meaning)


def _dcm(value: str, meaning: str) -> sr.CodedConcept:
    return _code(value, "DCM", meaning)


def _sct(value: str, meaning: str) -> sr.CodedConcept:
    return _code(value, "SCT", meaning)


def _own(value: str, meaning: str) -> sr.CodedConcept:
    return _code(value, _SCHEME, meaning)


def _yes_no(answer: bool) -> sr.CodedConcept:
    return _sct("373066001", "Yes") if answer else _sct("373067005", "No")


def _derived_uid(*names: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(names)).int}"
