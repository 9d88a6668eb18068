"""Whose photograph a file is: never guessed where a pattern, a table or two sources leave a doubt."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.intake.dicom_headers import pseudonym
from dr_pipeline.schema import Eye
from dr_pipeline.scoring.sources.dicom_person import person_of_header
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.path_pattern import PathPattern
from dr_pipeline.scoring.sources.people import People, PeopleSources
from dr_pipeline.scoring.sources.people_table import PeopleTable
from dr_pipeline.scoring.sources.person import UNKNOWN, Person
from tests.factories.dicom import PATIENT, dicom

PICTURE = np.full((80, 80, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("pattern", "path", "person"),
    [
        (
            "{site}/{patient}_{visit}_{eye}.jpg",
            "in/north/P1_2024-01_OD.JPG",
            Person("P1", Eye.RIGHT, "2024-01", "north"),
        ),
        ("{patient}_{eye}.*", "P_0_01_left.jpeg", Person("P_0_01", Eye.LEFT)),
        ("{patient}{eye}.*", "0001L.jpg", Person("0001", Eye.LEFT)),
        ("{patient}/*/{eye}*.jpg", "a/P1/2024/os(1).jpg", Person("P1", Eye.LEFT)),
        ("{site}/*/{patient}.dcm", "north/2024/é.dcm", Person("é", site="north")),
        ("[{patient}].jpg", "[1].jpg", Person("1")),
        # Neither a guess between several ways, nor a part of a name, nor another folder's depth.
        ("{patient}_{visit}.jpg", "a_b_c.jpg", UNKNOWN),
        ("{patient}{visit}.jpg", "abc.jpg", UNKNOWN),
        ("{patient}_{eye}.jpg", "P1_centre.jpg", UNKNOWN),
        ("{patient}_{eye}.jpg", "P1_left.jpg.bak", UNKNOWN),
        ("{site}/{patient}.jpg", "P1.jpg", UNKNOWN),
        ("{patient}.jpg", ".jpg", UNKNOWN),
    ],
)
def test_a_pattern_reads_the_end_of_a_path(pattern: str, path: str, person: Person) -> None:
    assert PathPattern(pattern).person(path) == person


@pytest.mark.parametrize("text", ["", "plain.jpg", "{patient", "patient}", "{name}.jpg", "{patient}{patient}", "{}"])
def test_a_pattern_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match="the pattern has"):
        PathPattern(text)


@given(st.text(max_size=60))
def test_any_path_is_read_or_unknown(path: str) -> None:
    PathPattern("{site}/{patient}_{visit}_{eye}.*").person(path)


def table(folder: Path, text: str) -> PeopleTable:
    path = folder / "people.csv"
    path.write_text(text, encoding="utf-8")
    return PeopleTable(path)


def test_a_table_finds_paths_before_file_names(tmp_path: Path) -> None:
    people = table(
        tmp_path,
        "\ufeffPath, Patient ,Laterality,visit\n"
        "a/left.jpg,P1,OS,1\nb\\left.jpg,P2,OS,\nonly.jpg,P3,,2\n./e\u0301.jpg,P4,R,\nonly.jpg,P3,,2\n",
    )
    assert people.person("a/left.jpg") == Person("P1", Eye.LEFT, "1")
    assert people.person("b/left.jpg") == Person("P2", Eye.LEFT)
    assert people.person("deep/down/only.jpg") == Person("P3", visit="2")
    assert people.person("é.jpg").patient_id == "P4"
    assert people.person("left.jpg") == people.person("c/left.jpg") == people.person("caf\udce9.jpg") == UNKNOWN


def test_a_file_name_that_fits_several_files_is_refused_and_not_guessed(tmp_path: Path) -> None:
    people = table(tmp_path, "file,patient\nleft.jpg,P1\n")
    people.count("a/left.jpg")
    people.require_unambiguous()
    assert people.person("a/left.jpg") == Person("P1")
    people.count("b/left.jpg")
    with pytest.raises(DataError, match=r"1 file names of the table fit several files, such as 'left\.jpg'"):
        people.require_unambiguous()
    assert people.person("a/left.jpg") == UNKNOWN


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("patient,eye\nP1,L\n", "needs a column path"),
        ("path,grade\na.jpg,1\n", "needs a column path"),
        ("path,file,patient\na,a,P1\n", "mean the same"),
        ("path,eye\na.jpg,middle\n", r"row 2"),
        ("path,patient\na.jpg,P1\n,P2\n", r"row 3"),
        ("path,patient\na.jpg,Jane Doe\na.jpg,P2\n", r"row 3"),
        ("path,patient\na.jpg,P1,more\n", "more or fewer cells"),
        ("", "needs a column path"),
    ],
)
def test_a_wrong_table_is_a_sentence_without_a_name(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as error:
        table(tmp_path, text)
    assert "Jane" not in str(error.value)
    with pytest.raises(DataError, match="cannot be read"):
        PeopleTable(tmp_path / "gone.csv")


def test_a_dicom_header_gives_a_pseudonym_an_eye_and_a_date() -> None:
    data = dicom(PICTURE, **PATIENT | {"PatientID": "12-34", "ImageLaterality": "L", "StudyDate": "20240131"})
    person = person_of_header(data, salt="s")
    assert person == Person(pseudonym("12-34", salt="s"), Eye.LEFT, "20240131", birth_date_hash=person.birth_date_hash)
    assert person_of_header(data, salt="t").patient_id != person.patient_id
    assert person_of_header(b"\xff\xd8\xff", salt="s") == person_of_header(data[:150], salt="s") == UNKNOWN
    nobody = dicom(PICTURE, **PATIENT | {"PatientID": "ANONYMOUS"})
    assert person_of_header(nobody, salt="s") == Person()


def test_a_birth_date_is_a_hash_that_is_equal_for_one_person_only() -> None:
    def hash_of(patient_id: str, birth_date: str, salt: str = "s") -> str:
        data = dicom(PICTURE, **PATIENT | {"PatientID": patient_id, "PatientBirthDate": birth_date})
        return person_of_header(data, salt=salt).birth_date_hash

    first = hash_of("12-34", "19481103")
    assert len(first) == 8
    assert first == hash_of("12-34", "19481103")
    others = {hash_of("12-34", "19481104"), hash_of("56-78", "19481103"), hash_of("12-34", "19481103", salt="t")}
    assert len(others) == 3
    assert first not in others
    assert hash_of("12-34", "") == ""


def test_sources_fill_each_other_and_two_eyes_are_none(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("path,patient,eye\nP1_L.jpg,Q1,\nP2_L.jpg,,right\nP3_L.jpg,unknown,\n")
    people = People(PeopleSources(tmp_path / "p.csv", "{patient}_{eye}.*", "salt"))
    header = Person("dicom-1", Eye.LEFT, "20240131", birth_date_hash="0a1b2c3d")
    assert people.person("P1_L.jpg", header) == Person("Q1", Eye.LEFT, "20240131")  # the hash is that of another id
    assert people.person("P2_L.jpg", UNKNOWN) == Person("P2")
    assert people.person("P3_L.jpg", UNKNOWN) == Person("", Eye.LEFT)
    assert people.person("x.jpg", header) == header
    assert list(people.counted([Entry("a", "a"), Entry("b", "b", left_out="system files")]))
    people.require_unambiguous()
    assert PeopleSources().settings() == {"people": "", "pattern": "", "dicom_people": ""}
    assert not PeopleSources()
