import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline import __version__
from dr_pipeline.clinic.photograph_header import PhotographHeader
from dr_pipeline.clinic.structured_report import make_report, report_uid
from dr_pipeline.schema import RESEARCH_USE, Eye, Status
from dr_pipeline.tables.predictions import PredictionRow
from tests.factories.clinic import DSRDUMP
from tests.factories.dicom import OP_8_BIT, SECRETS

NOW = datetime(2026, 11, 26, 9, 8, 7)
HEADER = PhotographHeader(
    OP_8_BIT,
    "1.2.3.4",
    "1.2.3",
    "1.2.3.5",
    Eye.LEFT,
    {"PatientName": "Zyxwvut^Quirinus", "PatientID": "7", "PatientBirthDate": "19481103", "PatientSex": "F"}
    | {"StudyDate": "20261126", "StudyTime": "090807", "StudyID": "5", "AccessionNumber": "A", "IssuerOfPatientID": ""}
    | {"StudyDescription": "", "ReferringPhysicianName": ""},
    (),
)
ROW = PredictionRow(
    image_id="a",
    path="1.2.3.4.dcm",
    sha256="ab" * 32,
    status=Status.SCORED,
    grade=2,
    probabilities=(0.1, 0.2, 0.4, 0.2, 0.1),
    expected_grade=2.0,
    referable=True,
    referable_probability=0.7,
    vision_threatening=False,
    needs_human=False,
    quality=0.875,
    bundle_id="0123456789abcdef",
)
NO_GRADE = replace(
    ROW,
    **dict.fromkeys(("grade", "probabilities", "expected_grade", "referable", "referable_probability")),
    vision_threatening=None,
    needs_human=True,
    reason="too dark",
)


def read(report: bytes, folder: Path) -> Any:
    path = folder / "report.dcm"
    path.write_bytes(report)
    return highdicom.sr.srread(path)


def evaluations(document: Any) -> dict[str, str]:
    (group,) = document.content.get_image_measurement_groups()
    return {item.name.meaning: item.value.meaning for item in group.get_qualitative_evaluations()}


def measurements(document: Any) -> dict[str, float]:
    (group,) = document.content.get_image_measurement_groups()
    return {item.name.value: item.value for item in group.get_measurements()}


def comments(document: Any) -> list[str]:
    texts = [item for item in document.ContentSequence if item.ValueType == "TEXT"]
    return [str(item.TextValue) for item in texts if item.ConceptNameCodeSequence[0].CodeValue == "121106"]


def test_a_graded_photograph(tmp_path: Path) -> None:
    document = read(make_report(ROW, HEADER, now=NOW), tmp_path)
    assert isinstance(document, highdicom.sr.ComprehensiveSR)
    assert evaluations(document) == {
        "Status": "Graded",
        "Quality Assessment": "Usable - Meets the quality control standard",
        "Severity": "Moderate non-proliferative retinopathy",
        "Referable diabetic retinopathy": "Yes",
        "Vision-threatening retinopathy": "No",
        "A person must look at the photograph": "No",
    }
    assert measurements(document) == {
        **{f"P{grade}": p for grade, p in enumerate((0.1, 0.2, 0.4, 0.2, 0.1))},
        "P_REFERABLE": 0.7,
        "EXPECTED_GRADE": 2.0,
        "111029": 87.5,
    }
    (group,) = document.content.get_image_measurement_groups()
    assert group.finding_sites[0].laterality.meaning == "Left"
    texts = comments(document)
    assert RESEARCH_USE in texts
    assert "Grade 2 (Moderate NPDR). Referable." in texts


def test_it_cites_the_photograph_and_is_filed_with_it(tmp_path: Path) -> None:
    document = read(make_report(ROW, HEADER, now=NOW), tmp_path)
    assert document.get_evidence() == [("1.2.3", "1.2.3.5", "1.2.3.4", OP_8_BIT)]
    (group,) = document.content.get_image_measurement_groups()
    assert group.source_images[0].referenced_sop_instance_uid == "1.2.3.4"
    assert (document.StudyInstanceUID, document.PatientID, str(document.PatientName)) == (
        "1.2.3",
        "7",
        "Zyxwvut^Quirinus",
    )
    assert (document.VerificationFlag, document.ContentQualification) == ("UNVERIFIED", "RESEARCH")


def test_who_graded_it(tmp_path: Path) -> None:
    text = read(make_report(ROW, HEADER, now=NOW), tmp_path).to_json()
    assert "bundle 0123456789abcdef" in text
    assert "Algorithm Version" in text
    assert __version__ in text


@pytest.mark.parametrize("status", [Status.UNGRADABLE, Status.NOT_FUNDUS, Status.FAILED])
def test_without_a_grade_the_reason_stands_in_it(status: Status, tmp_path: Path) -> None:
    row = replace(NO_GRADE, status=status, quality=None if status is Status.FAILED else 0.1)
    document = read(make_report(row, HEADER, now=NOW), tmp_path)
    found = evaluations(document)
    assert "Severity" not in found
    assert "Referable diabetic retinopathy" not in found
    assert found["A person must look at the photograph"] == "Yes"
    assert set(measurements(document)) <= {"111029"}
    assert "too dark" in comments(document)[1]


@pytest.mark.filterwarnings("error")
def test_no_name_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    header = replace(HEADER, elements={**HEADER.elements, "PatientName": "Zyxwvut", "ReferringPhysicianName": "Plonk"})
    with caplog.at_level("DEBUG"):
        make_report(ROW, header, now=NOW)
    assert not any(secret in caplog.text for secret in SECRETS)


def test_an_unknown_eye_is_stated(tmp_path: Path) -> None:
    header = replace(HEADER, eye=Eye.UNKNOWN, notes=("The header does not say which eye this is.",))
    document = read(make_report(ROW, header, now=NOW), tmp_path)
    (group,) = document.content.get_image_measurement_groups()
    assert group.finding_sites[0].laterality is None
    assert "which eye" in comments(document)[1]


def test_the_same_bytes_and_bundle_give_the_same_uid() -> None:
    uid = report_uid("1.2.3.4", "ab" * 32, "b1")
    assert uid == report_uid("1.2.3.4", "ab" * 32, "b1")
    assert len({uid, report_uid("1.2.3.4", "ab" * 32, "b2"), report_uid("1.2.3.4", "cd" * 32, "b1"), "1.2.3.4"}) == 4
    assert uid.startswith("2.25.")
    assert len(uid) <= 64


@pytest.mark.parametrize(
    ("name", "character_set"),
    [("Plain^Name", None), ("Jos\xe9^M\xfcller", "ISO_IR 100"), ("王^小東", "ISO_IR 192")],
)
def test_names_keep_their_signs(name: str, character_set: str | None, tmp_path: Path) -> None:
    header = replace(HEADER, elements={**HEADER.elements, "PatientName": name})
    document = read(make_report(ROW, header, now=NOW), tmp_path)
    assert document.get("SpecificCharacterSet") == character_set
    assert str(document.PatientName) == name


TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\\"), max_size=60)
TEXT = TEXT.map(str.strip)


@settings(deadline=None, max_examples=15)
@given(
    name=TEXT, patient_id=TEXT, description=TEXT, reason=TEXT, status=st.sampled_from(Status), eye=st.sampled_from(Eye)
)
def test_any_report_passes_dsrdump_and_reads_back(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    patient_id: str,
    description: str,
    reason: str,
    status: Status,
    eye: Eye,
) -> None:
    elements = {**HEADER.elements, "PatientName": name, "PatientID": patient_id, "StudyDescription": description}
    row = ROW if status is Status.SCORED else replace(NO_GRADE, status=status, reason=reason)
    report = make_report(row, replace(HEADER, elements=elements, eye=eye), now=NOW)
    folder = tmp_path_factory.mktemp("report")
    assert str(read(report, folder).PatientID or "") == patient_id
    if DSRDUMP is None:
        pytest.skip("dsrdump of dcmtk: absent")
    dumped = subprocess.run([DSRDUMP, "-q", folder / "report.dcm"], capture_output=True, check=False)
    assert dumped.returncode == 0, dumped.stderr
    wrong = [line for line in dumped.stderr.decode().splitlines() if line and "Specific Character Set" not in line]
    assert wrong == []
