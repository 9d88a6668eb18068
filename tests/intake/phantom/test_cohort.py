"""The phantom's cohort: correlated eyes, grade shares as asked, and nothing else that knows the grade."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from dr_pipeline.errors import ParamsError
from dr_pipeline.intake.phantom.cameras import CAMERAS, SITES
from dr_pipeline.intake.phantom.cohort import LEFT_RIGHT_QWK, UNGRADABLE_FRACTIONS, EyeCase, draw_cohort
from dr_pipeline.schema import Eye

SHARES = (0.36, 0.14, 0.22, 0.14, 0.14)
SCREENING_SHARES = (0.735, 0.070, 0.151, 0.025, 0.019)  # about those of EyePACS


@pytest.fixture(scope="module")
def cohort() -> list[EyeCase]:
    return draw_cohort(7, 2000, SHARES)


def left_right_qwk(cases: list[EyeCase]) -> float:
    left = [c.grade for c in cases if c.eye is Eye.LEFT]
    right = [c.grade for c in cases if c.eye is Eye.RIGHT]
    return cohen_kappa_score(left, right, weights="quadratic")


@pytest.mark.parametrize("shares", [SHARES, SCREENING_SHARES])
def test_the_two_eyes_agree_as_real_ones_do(shares: tuple[float, ...]) -> None:
    assert left_right_qwk(draw_cohort(11, 2000, shares)) == pytest.approx(LEFT_RIGHT_QWK, abs=0.03)


def test_grade_shares_are_as_asked(cohort: list[EyeCase]) -> None:
    found = np.bincount([c.grade for c in cohort], minlength=5) / len(cohort)
    assert found == pytest.approx(SHARES, abs=0.03)


def test_camera_and_site_say_nothing_of_the_grade(cohort: list[EyeCase]) -> None:
    grades = np.array([c.grade for c in cohort])
    for attribute, names in (("camera", CAMERAS), ("site", SITES)):
        values = np.array([getattr(c, attribute) for c in cohort])
        assert set(values) == set(names)
        means = [grades[values == name].mean() for name in names]
        assert max(means) - min(means) < 0.35  # the standard error of a camera's mean is about 0.07


def test_a_patient_has_two_eyes_one_camera_and_one_site(cohort: list[EyeCase]) -> None:
    by_patient: dict[str, list[EyeCase]] = {}
    for case in cohort:
        by_patient.setdefault(case.patient_id, []).append(case)
    assert len(by_patient) == 2000
    for pair in by_patient.values():
        assert [c.eye for c in pair] == [Eye.LEFT, Eye.RIGHT]
        assert len({(c.camera, c.site) for c in pair}) == 1
        assert pair[0].camera in SITES[pair[0].site]


def test_the_ungradable_share_rises_with_the_grade() -> None:
    cases = draw_cohort(3, 8000, SHARES)
    shares = [np.mean([c.ungradable for c in cases if c.grade == grade]) for grade in range(5)]
    assert shares == pytest.approx(UNGRADABLE_FRACTIONS, abs=0.015)
    assert shares[0] < shares[2] < shares[4]


def test_severity_lies_within_its_grade(cohort: list[EyeCase]) -> None:
    assert all(c.grade <= c.severity < c.grade + 1 for c in cohort)


@given(few=st.integers(1, 20), more=st.integers(0, 20), seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_more_patients_change_nothing_for_the_first(few: int, more: int, seed: int) -> None:
    assert draw_cohort(seed, few + more, SHARES)[: 2 * few] == draw_cohort(seed, few, SHARES)


def test_a_grade_without_share_never_appears() -> None:
    assert {c.grade for c in draw_cohort(1, 300, (0.5, 0.0, 0.5, 0.0, 0.0))} == {0, 2}


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.6, -0.1, 0.0, 0.0), (0.2, 0.2, 0.2, 0.2, 0.1)])
def test_shares_that_are_no_distribution_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ParamsError, match="grade_shares"):
        draw_cohort(1, 3, shares)
