"""Reader shifts and the figures of a suite, on answers whose figures are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.reader_shift import ReaderShift
from dr_pipeline.evaluation.shift_figures import SCORES, compare, severity, shift_report
from dr_pipeline.metrics.curves import roc_auc
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.schema import Status
from dr_pipeline.tables.shifts import read_shifts, shift_rows, write_shifts

DRAWN = {"replicates": 200, "seed": 3, "confidence": 0.95}
GRADES = np.tile(np.arange(5), 12)
GROUPS = [f"patient:{index // 2}" for index in range(len(GRADES))]
grades_lists = st.lists(st.integers(0, 4), min_size=1, max_size=40)
shifts = st.builds(ReaderShift, border=st.integers(1, 4), up=st.booleans(), strength=st.floats(0, 1))


def answers(grades: np.ndarray, *, sure: float = 0.9, rejected: tuple[int, ...] = ()) -> Answers:
    """Answers that give `sure` to these grades and share out the rest."""
    probabilities = np.full((len(grades), 5), (1 - sure) / 4)
    probabilities[np.arange(len(grades)), grades] = sure
    status = tuple(Status.UNGRADABLE if row in rejected else Status.SCORED for row in range(len(grades)))
    return Answers(status, grades.copy(), probabilities, grades >= 2, probabilities[:, 2:].sum(axis=1))


def without_answer(given_answers: Answers, rows: list[int]) -> Answers:
    grade, probabilities = given_answers.grade.copy(), given_answers.probabilities.copy()
    grade[rows], probabilities[rows] = -1, np.nan
    status = tuple(Status.NOT_FUNDUS if row in rows else one for row, one in enumerate(given_answers.status))
    referable, probability = given_answers.referable.copy(), given_answers.referable_probability.copy()
    referable[rows], probability[rows] = False, np.nan
    return Answers(status, grade, probabilities, referable, probability)


def test_a_border_moved_by_half_moves_half_of_that_grade_s_photographs() -> None:
    up, down = (ReaderShift(2, up, 0.5).regrade(GRADES, seed=1) for up in (True, False))
    assert np.bincount(up).tolist() == [12, 18, 6, 12, 12]
    assert np.bincount(down).tolist() == [12, 6, 18, 12, 12]


def test_strength_one_merges_two_grades() -> None:
    assert np.bincount(ReaderShift(4, True, 1.0).regrade(GRADES, seed=1)).tolist() == [12, 12, 12, 24]


@given(grades=grades_lists, shift=shifts, seed=st.integers(0, 9))
def test_reader_shifts_move_one_grade_by_one_and_are_nested(grades: list[int], shift: ReaderShift, seed: int) -> None:
    before = np.array(grades)
    after = shift.regrade(before, seed=seed)
    whole = ReaderShift(shift.border, shift.up, 1.0).regrade(before, seed=seed)
    moved = after != before
    assert (after == shift.regrade(before, seed=seed)).all()
    assert set((after - before)[moved].tolist()) <= {-1 if shift.up else 1}
    assert set(before[moved].tolist()) <= {shift.border if shift.up else shift.border - 1}
    assert (whole != before)[moved].all()
    assert before.tolist() == grades


@given(grades=grades_lists)
def test_strength_zero_moves_nothing(grades: list[int]) -> None:
    assert ReaderShift(2, True, 0.0).regrade(np.array(grades), seed=0).tolist() == grades


@pytest.mark.parametrize(("border", "strength"), [(0, 0.5), (5, 0.5), (2, 1.5)])
def test_impossible_reader_shifts_are_refused(border: int, strength: float) -> None:
    with pytest.raises(ValueError, match="border"):
        ReaderShift(border, True, strength)


def test_severity_is_the_latent_severity_of_proportional_odds_up_to_a_constant() -> None:
    latent, borders = np.array([-3.0, 0.0, 1.5, 30.0]), np.array([-2.0, -1.0, 0.5, 2.5])
    at_least = 1 / (1 + np.exp(borders[None] - latent[:3, None]))
    cumulative = np.concatenate([np.ones((3, 1)), at_least, np.zeros((3, 1))], axis=1)
    probabilities = cumulative[:, :-1] - cumulative[:, 1:]
    assert severity(probabilities) == pytest.approx(latent[:3] - borders.mean(), abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda one: sum(one) > 0))
def test_severity_is_finite_for_any_probabilities(weights: list[float]) -> None:
    assert np.isfinite(severity(np.array([weights]) / sum(weights))).all()


def test_figures_equal_those_computed_directly() -> None:
    rng = np.random.default_rng(0)
    predicted = np.clip(GRADES + rng.integers(-1, 2, len(GRADES)), 0, 4)
    shifted = answers(predicted, sure=0.6)
    result = compare((answers(GRADES), GRADES), (shifted, GRADES), GROUPS, DRAWN)["all"]
    kappa = quadratic_weighted_kappa(GRADES, predicted)
    assert result["qwk"]["value"] == pytest.approx(kappa)
    assert result["qwk"]["change"]["value"] == pytest.approx(kappa - 1)
    assert result["qwk"]["change"]["low"] < kappa - 1 < result["qwk"]["change"]["high"] < 0
    for name, score in SCORES.items():
        area = roc_auc(score(shifted.probabilities), GRADES >= 2)
        assert result[f"auc_{name}"]["value"] == pytest.approx(area)
        assert result[f"auc_{name}"]["change"]["value"] == pytest.approx(area - 1)
    accuracy = float((predicted == GRADES).mean())
    assert result["ece"]["value"] == pytest.approx(abs(0.6 - accuracy))
    assert result["brier"]["value"] == pytest.approx(0.2 + 1.0 * (1 - accuracy))


def test_referral_is_by_intention_to_screen() -> None:
    """Ten of 36 referable photographs get grade 1; five of 24 others are rejected, and so referred."""
    predicted = GRADES.copy()
    predicted[np.flatnonzero(GRADES >= 2)[:10]] = 1
    shifted = answers(predicted, rejected=tuple(np.flatnonzero(GRADES < 2)[:5].tolist()))
    result = compare((answers(GRADES), GRADES), (shifted, GRADES), GROUPS, DRAWN)
    sensitivity, specificity = result["all"]["referable_sensitivity"], result["all"]["referable_specificity"]
    assert (sensitivity["value"], sensitivity["n"]) == (pytest.approx(26 / 36), 36)
    assert sensitivity["change"]["value"] == pytest.approx(-10 / 36)
    assert (specificity["value"], specificity["n"]) == (pytest.approx(19 / 24), 24)
    assert specificity["change"]["high"] < 0
    assert result["referral_changes"]["value"] == pytest.approx(15 / 60)


def test_nothing_changes_without_a_shift() -> None:
    result = compare((answers(GRADES), GRADES), (answers(GRADES), GRADES), GROUPS, DRAWN)
    for among in ("all", "gradable"):
        for figure in result[among].values():
            assert [figure["change"][key] for key in ("value", "low", "high")] == [0, 0, 0]


def test_photographs_without_an_answer_are_counted_and_rejected_ones_are_shown_apart() -> None:
    shifted = without_answer(answers(GRADES, rejected=(0, 1, 2)), [10, 11])
    result = compare((answers(GRADES), GRADES), (shifted, GRADES), GROUPS, DRAWN)
    assert result["unanswered"] == 2
    assert result["rejected"]["value"] == pytest.approx(5 / 60)
    assert (result["all"]["qwk"]["n"], result["gradable"]["qwk"]["n"]) == (58, 55)


def test_a_shift_that_rejects_everything_leaves_gradable_figures_undefined() -> None:
    shifted = answers(GRADES, rejected=tuple(range(60)))
    result = compare((answers(GRADES), GRADES), (shifted, GRADES), GROUPS, DRAWN)
    assert result["rejected"]["value"] == 1
    assert result["gradable"]["qwk"] == {
        "n": 0,
        "value": None,
        "low": None,
        "high": None,
        "note": "undefined: no photograph, or all of one grade",
        "change": {
            "n": 0,
            "value": None,
            "low": None,
            "high": None,
            "note": "undefined: no photograph, or all of one grade",
        },
    }


def test_the_report_names_the_worst_and_its_table_has_a_row_per_figure(tmp_path) -> None:  # type: ignore[no-untyped-def]
    harmless, harmful = (answers(grades, sure=0.75) for grades in (GRADES, (GRADES + 2) % 5))
    cameras = [("blur", "mild", harmless), ("blur", "severe", harmful), ("jpeg", "mild", harmless)]
    report = shift_report(harmless, cameras, GRADES, GROUPS, DRAWN)  # type: ignore[arg-type]
    worst = report["worst"]["camera"]["all"]
    assert (worst["qwk"]["family"], worst["qwk"]["level"]) == ("blur", "severe")
    assert worst["qwk_by_family"]["jpeg"]["change"]["value"] == 0
    assert report["worst"]["reader"]["all"]["qwk"]["change"]["value"] < 0
    assert len(report["shifts"]) == 3 + 4 * 2 * 3
    merged = next(shift for shift in report["shifts"] if (shift["family"], shift["level"]) == ("border_2_up", "severe"))
    # 12 photographs of grade 2 become negative. P(grade ≥ 2) of them equals that of the 24 positive ones: of 24 × 36
    # pairs 24 × 12 are ties. The expected grade still knows the order.
    assert merged["regraded"] == 12
    assert merged["all"]["auc_expected_grade"]["value"] == 1.0
    assert merged["all"]["auc_cumulative_probability"]["value"] == pytest.approx(1 - 0.5 * 12 / 36)
    assert merged["all"]["auc_cumulative_probability"]["minus_default_score"]["value"] == pytest.approx(-1 / 6)
    assert report["scores"]["expected_grade"]["shortfall"] == 0
    assert report["scores"]["cumulative_probability"]["shortfall"] >= 1 / 6 - 1e-9
    write_shifts(tmp_path / "shifts.csv", shift_rows(report))
    assert len(read_shifts(tmp_path / "shifts.csv")) == (1 + len(report["shifts"])) * (2 * 6 + 2)


@pytest.mark.parametrize("grades", [np.zeros(20, np.int64), np.full(20, 3)])
def test_labels_of_one_class_are_refused(grades: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"are referable.*undefined"):
        shift_report(answers(grades), [], grades, [str(row) for row in range(20)], DRAWN)  # type: ignore[arg-type]
