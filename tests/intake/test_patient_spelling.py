"""All spellings of one id share a key; ids of two persons do not."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.intake.patient_spelling import spelling_key

ONE_PERSON = {
    "case": ("P0001", "p0001"),
    "leading zeros": ("P0001", "P1", "P01"),
    "blanks": ("P0001", "P 0001", " P0001 ", "P\u00a00001", "P\t1"),
    "separators": ("P0001", "P-0001", "P_1", "P.0001", "P/1", "P–0001", "P\u20111"),
    "caret": ("P0001", "P0001^", "P0001^^^", "^P0001"),
    "number with a fraction": ("1", "1.0", "001", "1.00", "1,0"),
    "full width": ("P0001", "Ｐ０００１"),
    "digits of other scripts": ("12", "١٢", "१२", "๑๒"),
    "invisible signs": ("P0001", "P\u200b0001", "\ufeffP0001", "P\u00ad1"),
    "quotes": ("0001", "'0001", '"1"', "’1"),
    "accents": ("José 1", "JOSE\u0301 1", "jose1"),
    "eye": ("P1", "P1-L", "P1_OD", "P1 right", "P1-left"),
    "name with carets": ("DOE^JANE", "Doe^Jane^^", "doe jane"),
    "hash": ("12", "#12", "(12)", "[12]"),
}
TWO_PERSONS = [
    ("P1", "P2"),
    ("P1", "P10"),
    ("1-23", "12-3"),
    ("1.10", "1.1"),
    ("A1", "B1"),
    ("राम", "रीमा"),
    ("张伟", "张三"),
    ("left", "right"),
    ("0", "00-1"),
    ("1A2", "12"),
]


@pytest.mark.parametrize("kind", ONE_PERSON)
def test_spellings_of_one_id_share_a_key(kind):
    assert len({spelling_key(text) for text in ONE_PERSON[kind]}) == 1


@pytest.mark.parametrize(("one", "other"), TWO_PERSONS)
def test_ids_of_two_persons_stay_apart(one, other):
    assert spelling_key(one) != spelling_key(other)


@given(st.text())
def test_every_text_has_a_key_that_is_its_own_key(text):
    key = spelling_key(text)
    assert spelling_key(key) == key or key.endswith(("l", "r", "od", "os", "left", "right"))


@given(st.text(string.ascii_letters, min_size=1, max_size=3), st.integers(0, 10**9), st.integers(1, 12))
def test_case_padding_and_separators_make_no_difference(letters, number, width):
    plain = spelling_key(f"{letters}{number}")
    assert plain == spelling_key(f" {letters.swapcase()}-{number:0{width}d}^ ")
