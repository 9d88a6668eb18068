"""The sentences: complete in every language, checked in a programme's own file, without anything private."""

from pathlib import Path

import pytest

from dr_pipeline.clinic.results.policy import Policy
from dr_pipeline.clinic.results.roll_up import roll_up
from dr_pipeline.clinic.results.texts import LANGUAGES, Texts
from dr_pipeline.errors import DataError
from dr_pipeline.tables.result_patients import Decision
from tests.clinic.results.test_roll_up import hand_worked, roll
from tests.factories import REPOSITORY
from tests.factories.predictions import predictions

ENGLISH = REPOSITORY / "dr_pipeline" / "clinic" / "results" / "languages" / "en.toml"


def changed(folder: Path, old: str, new: str) -> str:
    text = ENGLISH.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = folder / "own.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_hand_worked_patient_has_a_text_marked_as_unreviewed(language: str) -> None:
    texts = Texts.load(language)
    table = hand_worked()
    rows, births = predictions((case["patient"], case["visit"], case["photographs"]) for case in table)
    for policy in (Decision.RESCREEN, Decision.REFER):
        for patient in roll_up(rows, Policy(on_ungradable=policy), births).patients:
            text = texts.describe(patient)
            assert text.endswith(texts.notice)
            assert patient.patient_id not in text
            assert "{" not in text
    assert not texts.is_reviewed
    assert texts.sentences["unreviewed"] in texts.notice


@pytest.mark.parametrize(
    ("photographs", "sentences"),
    [
        ("R0 L1", ["No referral. Next screening within 12 months.", "Right eye: no diabetic retinopathy seen."]),
        ("R4 L0", ["Refer to an ophthalmologist immediately: to be seen within 1 month."]),
        ("R3 Lu", ["urgently: to be seen within 3 months.", "Left eye: the photographs are not clear enough"]),
        ("R2h", ["within 6 months.", "Left eye: no usable photograph.", "A trained grader must check this result."]),
        ("R0", ["Photograph the left eye again"]),
        ("Ru Lf", ["Photograph both eyes again"]),
        ("?4 L0", ["a person must decide", "not known which eye", "signs that need a referral"]),
        ("R0@1950 L0@1960", ["more than one birth date"]),
    ],
)
def test_a_text_states_what_to_do_and_why(photographs: str, sentences: list[str]) -> None:
    (patient,) = roll(("P", "", photographs)).patients
    text = Texts.load("en").describe(patient)
    assert [sentence for sentence in sentences if sentence not in text] == []


def test_a_programme_names_its_reviewer(tmp_path: Path) -> None:
    texts = Texts.load(changed(tmp_path, 'reviewed_by = ""', 'reviewed_by = "Dr Reader"'))
    assert texts.is_reviewed
    assert texts.notice == "Research use only. Not a medical device. Wording reviewed by Dr Reader."


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('missing = "Left eye: no usable photograph."', "", "'left.missing' is missing"),
        ("[notes]", '[notes]\nextra = "x"', "no sentence 'notes.extra'"),
        (
            'within {time}."\n\n[person]',
            'soon."\n\n[person]',
            "'recall.routine' needs these words in braces",
        ),
        ('"{months} months"', '"{month} months"', "'time.months' needs these words in braces, once each: {months}"),
        ('"{months} months"', '"{months.__class__} months"', "'time.months' needs"),
        ('"{months} months"', '"{months!r:>9} months"', "'time.months' needs"),
        ('"{months} months"', '"{months months"', "'time.months'"),
        ('"1 month"', '" "', "'time.one_month' is no text, or empty"),
        ('"1 month"', "1", "'time.one_month' is no text, or empty"),
        ('"1 month"', '"1 month', "not a TOML file"),
        ('    "proliferative diabetic retinopathy",\n', "", "'grades.4' is missing"),
    ],
)
def test_a_file_that_is_not_complete_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Texts.load(changed(tmp_path, old, new))
    assert message in str(caught.value)
    assert "own.toml" in str(caught.value)


def test_a_language_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name one of en, es, zh"):
        Texts.load("fr")
    (tmp_path / "latin.toml").write_bytes(b'language = "\xe9"')
    with pytest.raises(DataError, match="not a TOML file"):
        Texts.load(str(tmp_path / "latin.toml"))
