"""Placeholders in every language are found, and no real id is taken for one."""

import pytest

from dr_pipeline.intake.placeholder_ids import doubtful_ids
from dr_pipeline.schema import IdDoubt

LETTERED = {f"P{number:03d}": 2 for number in range(1, 60)}
RUNNING = {str(number): 2 for number in range(1, 60)}
LONG = {f"{number}12345678901234567": 2 for number in range(1, 9)}
PLACEHOLDERS = [
    "UNKNOWN", "unknown ", "Unk.", "n/a", "N.A.", "None", "NULL", "nil", "NaN", "-", "--", "?", "???", ".", "***",
    "anonymous", "Anonymous^^^", "ANONYMIZED", "Test^Patient", "TEST", "dummy", "xxx", "XXXXXX", "0", "0000", "0.0",
    "-1", "-99", "99999", "999999", "123456", "111111", "#N/A", "#NAME?", "[unknown]", "<none>", "Unknown patient",
    "ID: none", "Patient", "patient_id", "no name", "not available", "John Doe", "ＵＮＫＮＯＷＮ",
    "desconocido", "Anónimo", "sin nombre", "ninguno", "não informado", "desconhecida", "sem nome", "inconnu",
    "Non renseigné", "aucun", "anonyme", "unbekannt", "k. A.", "ohne Name", "keine Angabe", "nicht verfügbar",
    "sconosciuto", "неизвестный", "НЕТ", "未知", "不详", "无", "匿名", "無名", "测试", "不明", "なし", "없음",
    "알 수 없음", "مجهول", "غير معروف", "अज्ञात", "ไม่ทราบ", "bilinmiyor",
]  # fmt: skip
LOST_DIGITS = ["1.23457E+15", "1,23457E+15", "1.2e+16", "1E+15", "123456789012345000"]
PERSONS = [
    "P060", "60", "1e16", "3E12", "2E07", "AB", "JD", "unknown1", "anon0001", "patient 7", "test123", "张三",
    "Ninguno Pérez", "1234", "1000", "90", "O'Neill", "Nona", "Anna", "12-34", "6123456789012345670", "a0b9",
]  # fmt: skip


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_found_even_once(text):
    assert doubtful_ids(LETTERED | {text: 1}) == {text: IdDoubt.PLACEHOLDER}


@pytest.mark.parametrize("text", LOST_DIGITS)
def test_an_id_that_lost_digits_is_found(text):
    assert doubtful_ids(LETTERED | {text: 1}) == {text: IdDoubt.LOST_DIGITS}


@pytest.mark.parametrize("text", PERSONS)
@pytest.mark.parametrize("others", [LETTERED, LONG], ids=["lettered", "long"])
def test_an_id_is_no_placeholder(text, others):
    assert text not in doubtful_ids(others | {text: 2})


@pytest.mark.parametrize("text", ["NA", "XX", "x", "99", "999", "P9999", "nd"])
def test_initials_and_short_numbers_are_certain_only_where_they_are_many(text):
    assert doubtful_ids(LETTERED | {text: 2}) == {text: IdDoubt.MAYBE_PLACEHOLDER}
    assert doubtful_ids(LETTERED | {text: 40}) == {text: IdDoubt.PLACEHOLDER}


def test_a_running_number_is_a_person():
    assert not doubtful_ids({str(number): 2 for number in range(1200)})  # 0, 9, 99 and 999 among them
    assert not doubtful_ids({f"P{number:04d}": 2 for number in range(1200)})
    assert not doubtful_ids({str(number): 1 for number in range(99_990, 100_010)})
    assert doubtful_ids(RUNNING | {"0": 40}) == {"0": IdDoubt.PLACEHOLDER}
    assert doubtful_ids(RUNNING | {"9": 40}) == {"9": IdDoubt.MAYBE_PLACEHOLDER}  # or a patient of many visits


def test_digits_of_a_spreadsheet_are_lost_only_where_every_long_id_has_zeros():
    genuine = {"1234567890123450": 2}  # one 16-digit number in ten ends so
    assert not doubtful_ids(genuine)
    assert not doubtful_ids(LONG | {"123456789012345000": 2})
    cut = {f"1234567890{number}50": 2 for number in range(1001, 1005)}
    assert set(doubtful_ids(cut).values()) == {IdDoubt.LOST_DIGITS}


def test_declared_words_are_placeholders_whatever_their_spelling():
    assert doubtful_ids(LETTERED | {"Walk-In": 3}, ["WALK IN"]) == {"Walk-In": IdDoubt.PLACEHOLDER}


def test_no_id_at_all():
    assert doubtful_ids({}) == {}
