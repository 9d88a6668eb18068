"""Findings about patient ids count ids and name photographs; no id is repeated."""

from dr_pipeline.intake.patient_ids import PatientIdFinding, check_patient_ids, patient_id_warnings
from dr_pipeline.schema import IdDoubt

TABLE = {
    "a": "P0001", "b": "p1", "c": "P 0001", "d": "P2", "e": "Unknown", "f": "n/a", "g": "", "h": "1.5E+12", "i": "P3",
    "j": "P4", "k": "P5", "l": "NA",
}  # fmt: skip


def test_each_kind_is_one_finding_and_each_person_with_several_spellings_another():
    assert check_patient_ids(TABLE) == [
        PatientIdFinding(IdDoubt.PLACEHOLDER, 2, ("e", "f")),
        PatientIdFinding(IdDoubt.LOST_DIGITS, 1, ("h",)),
        PatientIdFinding(IdDoubt.MAYBE_PLACEHOLDER, 1, ("l",)),
        PatientIdFinding(IdDoubt.SPELLING, 3, ("a", "b", "c")),
    ]


def test_no_sentence_repeats_an_id():
    sentences = patient_id_warnings(check_patient_ids(TABLE | {"m": "ROE^MARY", "n": "Roe Mary"}))
    assert len(sentences) == 4
    assert "2 photographs is a placeholder (2 spellings" in sentences[0]
    assert "5 patient ids of 5 photographs" in sentences[3]
    assert not [text for text in sentences for name in ("P0001", "p1", "ROE", "Mary", "1.5E") if name in text]


def test_placeholders_of_several_spellings_are_not_one_person():
    findings = check_patient_ids({"a": "UNKNOWN", "b": "unknown", "c": "P1"})
    assert [finding.why for finding in findings] == [IdDoubt.PLACEHOLDER]


def test_ids_in_order_have_no_finding():
    assert not check_patient_ids({f"{number}{eye}": f"P{number:04d}" for number in range(200) for eye in "lr"})
    assert not check_patient_ids({"a": "", "b": ""})
