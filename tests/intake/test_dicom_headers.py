"""DICOM headers fill what the table left empty; the person in them is flagged and never copied."""

import dataclasses
import hashlib
import json
import os
import time
from dataclasses import asdict

import numpy as np
import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.intake.dicom_headers import IDENTITY_FIELDS, fill_from_headers, pseudonym, read_header
from dr_pipeline.intake.records import Intake, Provenance, Record
from dr_pipeline.schema import Eye
from tests.factories import dicom as made
from tests.factories.dicom import PATIENT, SECRETS, dicom
from tests.factories.drawings import draw_fundus, jpeg

PICTURE = draw_fundus(80, 70, 40, 35, 30)
SALT = "only a test's"
FACTS = {
    "ImageLaterality": "R",
    "Manufacturer": "Nirgend Optics",
    "ManufacturerModelName": "NO-1000 ",
    "PixelSpacing": ["0.0065", "0.0065"],
}


def intake_of(root, files, **cells):
    """Writes files and gives each its record."""
    records = []
    for name, data in files.items():
        (root / name).write_bytes(data)
        records.append(Record(name.replace(".", "_"), name, 1, **cells))
    return Intake(tuple(records), Provenance("made", "none", "none"), warnings=("first",))


def test_empty_cells_are_filled_from_the_header(tmp_path):
    result = fill_from_headers(intake_of(tmp_path, {"a.dcm": dicom(PICTURE, **FACTS, **PATIENT)}), tmp_path, salt=SALT)
    (record,) = result.records
    assert record.eye is Eye.RIGHT
    assert record.camera == "Nirgend Optics NO-1000"
    assert record.pixel_spacing_mm == "0.0065"
    digest = hashlib.sha256(f"{SALT}\0{PATIENT['PatientID']}".encode()).hexdigest()
    assert record.patient_id == f"dicom-{digest[:16]}"
    assert result.identity == (("a_dcm", tuple(name for name in IDENTITY_FIELDS if name in PATIENT)),)
    assert result.warnings[0] == "first"


def test_a_dicom_file_counts_by_its_content_whatever_its_name(tmp_path):
    files = {"a.jpg": dicom(PICTURE, **FACTS, **PATIENT), "b.jpg": jpeg(PICTURE)}
    result = fill_from_headers(intake_of(tmp_path, files), tmp_path, salt=SALT)
    assert [bool(record.patient_id) for record in result.records] == [True, False]
    assert [image_id for image_id, _ in result.identity] == ["a_jpg"]


def test_the_tables_own_cells_stay(tmp_path):
    intake = intake_of(
        tmp_path,
        {"a.dcm": dicom(PICTURE, **FACTS, **PATIENT)},
        eye=Eye.RIGHT,
        camera="the clinic's",
        patient_id="p1",
        pixel_spacing_mm="0.01",
    )
    assert fill_from_headers(intake, tmp_path, salt=SALT).records == intake.records


def test_a_contradicting_eye_is_listed_and_the_tables_is_kept(tmp_path):
    files = {"a.dcm": dicom(PICTURE, ImageLaterality="L"), "b.dcm": dicom(PICTURE, ImageLaterality="R")}
    result = fill_from_headers(intake_of(tmp_path, files, eye=Eye.RIGHT), tmp_path, salt=SALT)
    assert [record.eye for record in result.records] == [Eye.RIGHT, Eye.RIGHT]
    (warning,) = [text for text in result.warnings if "contradicts" in text]
    assert "a_dcm (1 in all)" in warning
    assert "b_dcm" not in warning


def nested(frame_laterality):
    from pydicom.dataset import Dataset

    anatomy, group = Dataset(), Dataset()
    anatomy.FrameLaterality = frame_laterality
    group.FrameAnatomySequence = [anatomy]
    return {"SharedFunctionalGroupsSequence": [group]}


@pytest.mark.parametrize(
    ("fields", "eye"),
    [
        ({"ImageLaterality": "L"}, Eye.LEFT),
        ({"Laterality": "R"}, Eye.RIGHT),
        ({"ImageLaterality": "L", "Laterality": "R"}, Eye.LEFT),
        ({"ImageLaterality": "B"}, Eye.UNKNOWN),
        ({"Laterality": "U"}, Eye.UNKNOWN),
        (nested("R"), Eye.RIGHT),
        ({}, Eye.UNKNOWN),
    ],
)
@pytest.mark.parametrize("syntax", [made.IMPLICIT, made.EXPLICIT, made.BIG_ENDIAN, made.DEFLATED])
def test_the_eye_is_read_wherever_it_stands(fields, eye, syntax, tmp_path):
    (tmp_path / "a").write_bytes(dicom(PICTURE, syntax=syntax, **fields))
    assert read_header(tmp_path / "a", salt=SALT).eye is eye


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        (["0.0065", "0.0065"], "0.0065"),
        (["0.0065", "0.007"], "0.0065/0.007"),
        (["0", "0"], ""),
        (["-1", "0.1"], ""),
        (None, ""),
    ],
)
def test_the_spacing_is_on_the_retina_or_nothing(spacing, expected, tmp_path):
    fields = {"ImagerPixelSpacing": ["9", "9"]} | ({"PixelSpacing": spacing} if spacing else {})
    (tmp_path / "a").write_bytes(dicom(PICTURE, **fields))
    assert read_header(tmp_path / "a", salt=SALT).pixel_spacing_mm == expected


def test_one_person_has_one_pseudonym_per_salt():
    assert pseudonym("MRN-1", salt="a") == pseudonym("MRN-1", salt="a")
    assert len({pseudonym(patient, salt=salt) for patient in ("MRN-1", "MRN-2") for salt in "ab"}) == 4
    assert pseudonym("", salt="a") == ""
    assert "MRN" not in pseudonym("MRN-1", salt="a")


def test_no_value_of_the_person_goes_anywhere(tmp_path, capfd):
    files = {
        "a.dcm": dicom(PICTURE, **PATIENT),
        "b.dcm": dicom(PICTURE, **PATIENT)[:330],
        "c": dicom(PICTURE, **PATIENT),
    }
    result = fill_from_headers(intake_of(tmp_path, files), tmp_path, salt=SALT)
    assert len(result.records) == 3
    text = json.dumps(asdict(result)) + "".join(capfd.readouterr())
    assert not [secret for secret in SECRETS if secret in text]
    assert [image_id for image_id, _ in result.identity] == ["a_dcm", "c"]
    (warning,) = [line for line in result.warnings if "hold identity" in line]
    assert "PatientName (2)" in warning


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ()),
        ({"PatientName": "", "PatientID": ""}, ()),
        ({"PatientName": "A", "PatientIdentityRemoved": "YES", "OperatorsName": "B"}, ("OperatorsName",)),
        ({"BurnedInAnnotation": "YES"}, ("BurnedInAnnotation",)),
        ({"BurnedInAnnotation": "NO"}, ()),
        ({"PatientAddress": "A", "OtherPatientIDs": "B"}, ("OtherPatientIDs", "PatientAddress")),
    ],
)
def test_which_fields_hold_identity(fields, expected, tmp_path):
    (tmp_path / "a").write_bytes(dicom(PICTURE, **fields))
    assert read_header(tmp_path / "a", salt=SALT).identity == expected


def test_every_identity_field_is_in_the_dictionary():
    from pydicom.datadict import tag_for_keyword

    assert all(tag_for_keyword(name) for name in IDENTITY_FIELDS)
    assert len(set(IDENTITY_FIELDS)) == len(IDENTITY_FIELDS)


def test_patients_of_two_sources_are_warned_of(tmp_path):
    intake = intake_of(tmp_path, {"a.dcm": dicom(PICTURE, **PATIENT)})
    with_table = Record("t", "t.jpg", 0, patient_id="p1")
    (tmp_path / "t.jpg").write_bytes(jpeg(PICTURE))
    mixed = Intake((*intake.records, with_table), intake.provenance)
    assert any("one person may count as two" in text for text in fill_from_headers(mixed, tmp_path, salt=SALT).warnings)
    assert not any("count as two" in text for text in fill_from_headers(intake, tmp_path, salt=SALT).warnings)


def test_what_is_no_dicom_stays_and_what_is_broken_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.dcm")
    intake = intake_of(
        tmp_path, {"a.jpg": jpeg(PICTURE), "b.png": b"", "c.dcm": b"no DICOM", "d": bytes(128) + b"DICM" * 9}
    )
    records = (*intake.records, Record("m", "missing.dcm", 0), Record("p", "pipe.dcm", 0))
    result = fill_from_headers(Intake(records, intake.provenance), tmp_path, salt=SALT)
    assert result.records == records
    assert result.identity == ()
    with pytest.raises(ImageError, match="not a regular file"):
        read_header(tmp_path / "pipe.dcm", salt=SALT)
    with pytest.raises(ImageError, match="No such file"):
        read_header(tmp_path / "missing.dcm", salt=SALT)


def test_headers_are_read_without_their_pixels(tmp_path):
    """Pixels of 48 MB a file would take seconds; the bar is 300 headers a second."""
    data = dicom(np.zeros((4000, 4000, 3), np.uint8), **FACTS, **PATIENT)
    (tmp_path / "0.dcm").write_bytes(data)
    for number in range(1, 100):
        os.link(tmp_path / "0.dcm", tmp_path / f"{number}.dcm")
    intake = Intake(tuple(Record(str(n), f"{n}.dcm", 0) for n in range(100)), Provenance("", "", ""))
    read_header(tmp_path / "0.dcm", salt=SALT)  # pydicom is loaded
    start = time.perf_counter()
    result = fill_from_headers(intake, tmp_path, salt=SALT)
    assert time.perf_counter() - start < 1
    assert {record.eye for record in result.records} == {Eye.RIGHT}


def test_ids_of_headers_are_compared_before_they_are_hashed(tmp_path):
    written = ["ROE-0001", "roe1^^", "ROE 1", "Anonymous^Patient", "1.23457E+15", "ROE-2"]
    files = {f"{number}.dcm": dicom(PICTURE, PatientID=text) for number, text in enumerate(written)}
    (tmp_path / "t.jpg").write_bytes(jpeg(PICTURE))
    intake = intake_of(tmp_path, files)
    intake = dataclasses.replace(intake, records=(*intake.records, Record("t", "t.jpg", 0, patient_id="Roe 01")))
    result = fill_from_headers(intake, tmp_path, salt=SALT)
    assert [(finding.why, finding.ids, finding.image_ids) for finding in result.patient_ids] == [
        ("placeholder", 1, ("3_dcm",)),
        ("lost_digits", 1, ("4_dcm",)),
        ("spelling", 4, ("0_dcm", "1_dcm", "2_dcm", "t")),
    ]
    assert not [text for text in written if text in json.dumps(asdict(result)) + repr(result)]
    declared = fill_from_headers(intake, tmp_path, salt=SALT, unknown_patient_ids=["roe 2"])
    assert declared.patient_ids[0].image_ids == ("3_dcm", "5_dcm")
