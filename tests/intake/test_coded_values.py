"""Words and codes of grades, eyes and parts: what is mapped is read, what is not is refused with a proposal."""

import pytest

from dr_pipeline.errors import ParamsError
from dr_pipeline.intake.coded_values import PLAIN, CodedValues, propose_grade, propose_grades
from dr_pipeline.schema import Eye, Split

WORDS = CodedValues(
    grades={"No_DR": 0, "Mild": 1, "Proliferative DR": 4},
    eyes={"1": Eye.RIGHT, "2": Eye.LEFT, "OI": Eye.LEFT, "?": Eye.UNKNOWN},
    parts={"development": Split.TRAIN},
    ungradable=("Inadequate", "5"),
)


@pytest.mark.parametrize("text", ["No_DR", "no dr", "NO-DR", " No  DR ", "no_dr"])
def test_a_words_spelling_makes_no_difference(text: str) -> None:
    assert WORDS.grade(text) == 0


@pytest.mark.parametrize("text", ["0", "1", "4.0", "Moderate", "", "noDR", "-Mild"])
def test_where_grades_are_mapped_others_are_none(text: str) -> None:
    assert WORDS.grade(text) is None


def test_a_scale_from_1_to_5_is_not_mixed_with_0_to_4() -> None:
    shifted = CodedValues(grades={str(grade + 1): grade for grade in range(5)})
    assert [shifted.grade(text) for text in ("1", "2.0", "5", "0")] == [0, 1, 4, None]


@pytest.mark.parametrize("text", ["-1", "5", "2.5", "²", "٣", "٢", "1e0", "nan", "0-1"])
def test_what_is_no_grade_without_a_map(text: str) -> None:
    assert PLAIN.grade(text) is None


def test_one_word_with_two_meanings_is_refused() -> None:
    with pytest.raises(ParamsError, match="two meanings: No_DR"):
        CodedValues(grades={"No_DR": 1, "no dr": 0}).grade("mild")


@pytest.mark.parametrize(
    ("text", "eye"),
    [
        ("1", Eye.RIGHT),
        ("2.0", Eye.LEFT),
        ("oi", Eye.LEFT),
        ("?", Eye.UNKNOWN),
        ("OD", Eye.RIGHT),
        ("left", Eye.LEFT),
        ("", Eye.UNKNOWN),
        ("3", None),
    ],
)
def test_eyes_by_code_beside_the_usual_words(text: str, eye: Eye | None) -> None:
    assert WORDS.eye(text) is eye


def test_parts_and_ungradable() -> None:
    texts = ("Development", "val", "TESTING", "train", "held out")
    assert [WORDS.part(text) for text in texts] == [Split.TRAIN, Split.VALIDATION, Split.TEST, Split.TRAIN, None]
    assert [WORDS.is_ungradable(text) for text in ("inadequate", "5.0", "adequate", "")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "grade"),
    [
        *(("No_DR", 0), ("anodr", 0), ("Normal", 0), ("healthy", 0), ("no apparent retinopathy", 0), ("0.0.No_DR", 0)),
        *(("Mild", 1), ("bmilddr", 1), ("Mild NPDR", 1), ("mild nonproliferative", 1), ("1_Mild", 1)),
        *(("moderate non-proliferative DR", 2), ("Severe_NPDR", 3), ("very severe NPDR", 3)),
        *(("Proliferate_DR", 4), ("Proliferative_DR", 4), ("PDR", 4), ("eproliferativedr", 4), ("prolifDR", 4)),
        *(("Grade 2", 2), ("DR3", 3), ("class_4", 4), ("R0", 0)),
        *(("abnormal", None), ("NPDR", None), ("other", None), ("2024", None), ("mild to moderate", None), ("5", None)),
        ("severe proliferative", None),
    ],
)
def test_a_grade_is_proposed_where_a_name_means_one(name: str, grade: int | None) -> None:
    assert propose_grade(name) == grade


def test_the_proposal_is_yaml_with_the_users_names() -> None:
    proposal = propose_grades(["Severe", "No_DR", "stage 2", "odd"])
    assert proposal == "{No_DR: 0, 'stage 2': 2, Severe: 3, odd: …}"
