"""Pairs of photographs of one eye: agreement and referrals that change, on pairs that are known."""

from dataclasses import replace

import numpy as np
import pytest

from dr_pipeline.evaluation.repeatability import EyePhotograph, eye_photographs, repeatability_report
from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow
from tests.factories.answers import graded_answers

DRAWN = {"replicates": 200, "seed": 3, "confidence": 0.95}


def photographs(*eyes: str, copies: tuple[int, ...] = ()) -> list[EyePhotograph]:
    return [EyePhotograph(eye, "copies" if at in copies else "", f"patient:{eye or at}") for at, eye in enumerate(eyes)]


def test_the_figures_of_known_pairs() -> None:
    grades = np.array([0, 0, 2, 1, 4, 4, 3, 3, 2])
    answers = graded_answers(grades, noise=0.0)
    answers = replace(answers, status=(*(Status.SCORED,) * 7, Status.UNGRADABLE, Status.SCORED))
    result = repeatability_report(answers, grades, photographs("a", "a", "b", "b", "c", "c", "d", "d", ""), DRAWN)
    assert (result["eyes"], result["pairs"], result["pairs_with_two_grades"]) == (4, 4, 3)
    assert result["same_grade"]["value"] == pytest.approx(2 / 3)
    assert result["within_one_grade"]["value"] == 1
    assert result["referral_changes"]["value"] == pytest.approx(1 / 4)  # 2 and 1; grade 3 without a grade is referred
    assert result["one_ungradable"]["value"] == pytest.approx(1 / 4)
    # 0-0, 2-1, 4-4 in both orders: observed disagreement 2, expected 12.33 of 6.
    assert result["qwk"]["value"] == pytest.approx(1 - 2 / ((2 * 6 * 37 - 2 * 11**2) / 6))


def test_copies_are_no_repetition_and_three_photographs_are_three_pairs() -> None:
    grades = np.array([1, 1, 1])
    answers = graded_answers(grades, noise=0.0)
    assert repeatability_report(answers, grades, photographs("a", "a", "a"), DRAWN)["pairs"] == 3
    assert repeatability_report(answers, grades, photographs("a", "a", "a", copies=(0, 1)), DRAWN)["pairs"] == 2


def test_no_pair_has_no_figure() -> None:
    grades = np.array([1, 2])
    result = repeatability_report(graded_answers(grades, noise=0.0), grades, photographs("", ""), DRAWN)
    assert (result["pairs"], result["same_grade"]["value"], result["qwk"]["value"]) == (0, None, None)


def test_eyes_are_known_by_patient_visit_and_side_or_by_the_audit() -> None:
    def row(name: str, **columns: object) -> SplitRow:
        return SplitRow(image_id=name, group="g", grade=1, split="test", **columns)

    rows = [
        row("1", patient_id="p", visit="1", eye=Eye.LEFT),
        row("2", patient_id="p", visit="2", eye=Eye.LEFT),
        row("3", patient_id="p"),
        row("4", duplicate_cluster="c"),
    ]
    manifest = {row.image_id: ManifestRow(image_id=row.image_id, path="x", same_eye="eye-7") for row in rows}
    eyes = [photograph.eye for photograph in eye_photographs(rows, manifest)]
    assert len(set(eyes[:2])) == 2
    assert eyes[2:] == ["eye-7", "eye-7"]
    assert [photograph.copy_of for photograph in eye_photographs(rows, manifest)] == ["", "", "", "c"]
