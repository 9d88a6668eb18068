"""Recalibration: what it regains on photographs held out, and what it refuses."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.evaluation.decision_fit import fit_decision
from dr_pipeline.evaluation.recalibration import few_of_a_grade, recalibrate, refit, require_enough, require_width
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint

TARGETS = OperatingPoint(target_referable_sensitivity=0.9, human_review_share=0.1)
PARAMS = Evaluation(bootstrap_replicates=200, bootstrap_seed=3, confidence=0.95, two_eye_fusion=False)
MOVED = (1, 2.7, 3, 4)  # borders of the site's readers on the severity; the parent's are 1, 2, 3, 4


def draw(seed: int, patients: int) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Logits, severities 0 … 5 and patients of two eyes each."""
    rng = np.random.default_rng(seed)
    severity = np.repeat(rng.uniform(0, 5, patients), 2) + rng.normal(0, 0.2, 2 * patients)
    seen = severity - 0.5 + rng.normal(0, 0.35, 2 * patients)
    return (
        -1.5 * (seen[:, None] - np.arange(5)) ** 2,
        severity,
        [f"P{row // 2}" for row in range(2 * patients)],
    )


def graded(severity: NDArray[np.float64], borders: tuple[float, ...]) -> NDArray[np.int64]:
    return np.searchsorted(borders, severity).astype(np.int64)


def parent_decision() -> Decision:
    logits, severity, groups = draw(0, 200)
    return fit_decision(logits, graded(severity, (1, 2, 3, 4)), groups, TARGETS, seed=3, provenance={})


def test_sites_of_another_border_regain_more_than_half_of_the_lost_kappa():
    """The mean over labelled samples of 100 photographs, on 3,000 photographs of other patients."""
    parent = parent_decision()
    new_logits, new_severity, _ = draw(99, 1500)
    old, moved = graded(new_severity, (1, 2, 3, 4)), graded(new_severity, MOVED)
    before = quadratic_weighted_kappa(moved, parent.apply(new_logits).grade)
    lost = quadratic_weighted_kappa(old, parent.apply(new_logits).grade) - before
    after = []
    for seed in range(1, 7):
        logits, severity, groups = draw(seed, 50)
        fitted = refit(parent, logits, graded(severity, MOVED), groups, TARGETS, seed=3, provenance={})
        after.append(quadratic_weighted_kappa(moved, fitted.apply(new_logits).grade))
    assert lost > 0.02
    assert np.mean(after) - before >= lost / 2


def test_figures_after_are_of_photographs_held_out():
    """Grades without any relation to the logits: a decision graded on its own photographs looks better."""
    parent, optimism = parent_decision(), []
    for seed in range(4, 8):
        logits, _, groups = draw(3, 60)
        grades = np.random.default_rng(seed).integers(0, 5, 120)
        fit = recalibrate(parent, logits, grades, groups, targets=TARGETS, params=PARAMS, provenance={"site": "x"})
        on_itself = quadratic_weighted_kappa(grades, fit.decision.apply(logits).grade)
        optimism.append(on_itself - fit.report["after"]["qwk"]["value"])
    assert np.mean(optimism) > 0.02
    assert fit.decision.fitted_on == {"site": "x"}


def test_differences_are_paired_and_agree_with_the_figures():
    logits, severity, groups = draw(5, 60)
    grades = graded(severity, MOVED)
    report = recalibrate(
        parent_decision(), logits, grades, groups, targets=TARGETS, params=PARAMS, provenance={}
    ).report
    for name, difference in report["difference"].items():
        assert difference["value"] == pytest.approx(report["after"][name]["value"] - report["before"][name]["value"])
        assert difference["n"] == report["after"][name]["n"]
    paired = report["difference"]["qwk"]
    unpaired = [report[name]["qwk"]["high"] - report[name]["qwk"]["low"] for name in ("before", "after")]
    assert paired["high"] - paired["low"] < sum(unpaired)


def test_the_order_of_severity_stays_while_the_probabilities_are_calibrated():
    parent = parent_decision()
    logits, severity, groups = draw(6, 60)
    fitted = refit(parent, 3 * logits, graded(severity, MOVED), groups, TARGETS, seed=3, provenance={})
    assert fitted.severity_temperature == parent.temperature
    assert fitted.temperature > 2 * parent.temperature
    assert fitted.apply(logits).expected_grade == pytest.approx(parent.apply(logits).expected_grade)
    assert Decision.from_dict(fitted.to_dict()) == fitted
    assert "severity_temperature" not in parent.to_dict()


def test_a_missing_grade_is_named():
    grades = np.repeat([0, 1, 2, 4], 20)
    with pytest.raises(DataError, match=r"no gradable photograph of grade 3 \(Severe NPDR\)[\s\S]*20 of grade 4"):
        require_enough(grades, [str(row) for row in range(80)])


def test_a_grade_of_one_patient_cannot_be_held_out():
    grades = np.array([0, 1, 2, 4] * 20 + [3, 3])
    groups = [str(row) for row in range(80)] + ["one", "one"]
    with pytest.raises(DataError, match="too few patients have grade 3"):
        require_enough(grades, groups)
    with pytest.raises(DataError, match="too few patients"):
        require_enough(np.arange(60) % 5, ["one"] * 60)


def test_too_few_are_refused():
    with pytest.raises(DataError, match="49 gradable photographs with a grade; at least 50"):
        require_enough(np.arange(49) % 5, [str(row) for row in range(49)])
    require_enough(np.arange(50) % 5, [str(row) for row in range(50)])


def test_too_wide_an_interval_is_refused_with_the_number_that_would_do():
    report = {"after": {"qwk": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 100}}}
    require_width(report, 0.21)
    with pytest.raises(GateError, match=r"about 40[01] photographs"):
        require_width(report, 0.1)
    with pytest.raises(GateError, match="no interval"):
        require_width({"after": {"qwk": {"value": 0.8, "low": None, "high": None, "n": 4}}}, 0.1)


def test_grades_that_are_few_are_named():
    assert few_of_a_grade(np.repeat(np.arange(5), 5)) == ""
    assert "grade 4 (Proliferative DR)" in few_of_a_grade(np.repeat(np.arange(5), [9, 9, 9, 9, 4]))
