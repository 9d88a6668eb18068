import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.clinic.photograph_header import PhotographHeader, is_uid, read_photograph_header
from dr_pipeline.clinic.structured_report import make_report
from dr_pipeline.errors import ImageError
from dr_pipeline.schema import Eye
from tests.clinic.test_structured_report import NOW, ROW
from tests.factories.clinic import clinic_photograph, sop_instance
from tests.factories.dicom import OP_8_BIT, SECRETS


def header_of(**fields) -> PhotographHeader:
    return read_photograph_header(clinic_photograph(1, seed=1, side_px=64, **fields))


def test_identity_eye_and_patient_are_read() -> None:
    header = header_of()
    assert (header.sop_class, header.sop_instance, header.eye) == (OP_8_BIT, sop_instance(1), Eye.RIGHT)
    assert header.elements["PatientName"] == "Zyxwvut^Quirinus"
    assert header.elements["PatientID"] == "MRN-7719-ZQ"
    assert header.notes == ()


def test_a_header_is_not_printed() -> None:
    assert not any(secret in repr(header_of()) for secret in SECRETS)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("uid", ["", "MRN-7719-ZQ", "1.02.3", "1." + "2" * 63, "../1.2"])
def test_without_a_uid_there_is_nothing_to_cite(keyword: str, uid: str) -> None:
    data = clinic_photograph(1, seed=1, side_px=64)
    good = sop_instance(1) if keyword == "SOPInstanceUID" else None
    assert is_uid(good or "1.2")
    with pytest.raises(ImageError, match=keyword) as raised:
        read_photograph_header(_with(data, keyword, uid))
    assert "MRN" not in str(raised.value)


def _with(data: bytes, keyword: str, value: str) -> bytes:
    import io

    from pydicom import config, dcmread

    dataset = dcmread(io.BytesIO(data))
    before = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        setattr(dataset, keyword, value)
        out = io.BytesIO()
        dataset.save_as(out)
    finally:
        config.settings.writing_validation_mode = before
    return out.getvalue()


@pytest.mark.parametrize("data", [b"", b"no DICOM at all", clinic_photograph(1, seed=1, side_px=64)[:200]])
def test_no_header(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_photograph_header(data)


def test_missing_laterality_is_noted() -> None:
    header = header_of(ImageLaterality=None)
    assert header.eye is Eye.UNKNOWN
    assert "which eye" in header.notes[0]


def test_names_of_other_scripts_are_kept() -> None:
    header = header_of(SpecificCharacterSet="ISO_IR 192", PatientName="王^小東=王^小东")
    assert header.elements["PatientName"] == "王^小東=王^小东"
    assert header.notes == ()


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize("character_set", ["BOGUS", "ISO_IR 999"])
def test_an_unknown_character_set_is_noted(character_set: str) -> None:
    data = clinic_photograph(1, seed=1, side_px=64, SpecificCharacterSet="ISO_IR 100", PatientName="Jos\xe9")
    broken = data.replace(b"ISO_IR 100", character_set.encode().ljust(10))
    assert any("character set" in note for note in read_photograph_header(broken).notes)


@pytest.mark.filterwarnings("ignore:Failed to decode")
def test_bytes_that_are_not_in_the_character_set_are_noted() -> None:
    data = clinic_photograph(1, seed=1, side_px=64, SpecificCharacterSet="ISO_IR 192", PatientName="Jos\xe9ph")
    broken = data.replace("Jos\xe9ph".encode(), b"Jos\xe9\xe9ph"[:7].ljust(len("Jos\xe9ph".encode())))
    assert any("character set" in note for note in read_photograph_header(broken).notes)


@pytest.mark.parametrize(
    ("keyword", "value", "read"),
    [
        ("PatientBirthDate", "19481103", "19481103"),
        ("PatientBirthDate", "1948.11.03", "19481103"),
        ("PatientBirthDate", "19481399", ""),
        ("StudyTime", "101112.123", "101112"),
        ("StudyTime", "251112", ""),
        ("PatientSex", "female", ""),
    ],
)
def test_what_breaks_the_standard_is_left_out(keyword: str, value: str, read: str) -> None:
    data = _with(clinic_photograph(1, seed=1, side_px=64), keyword, value)
    assert read_photograph_header(data).elements[keyword] == read


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_damaged_header_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(clinic_photograph(1, seed=1, side_px=64))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 900))] = data.draw(st.integers(0, 255))
    message = ""
    try:
        header = read_photograph_header(bytes(whole))
        assert is_uid(header.study)
        with warnings.catch_warnings(record=True) as warned:
            make_report(ROW, header, now=NOW)
        message = " ".join(str(warning.message) for warning in warned)
    except ImageError as error:
        message = str(error)
    assert not any(secret in message for secret in SECRETS)
