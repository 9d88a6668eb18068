"""Two graders on the same photographs: differences, verdicts by margins, changed cases."""

from dataclasses import replace

import numpy as np
import pytest

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.comparison import (
    ENDPOINTS,
    Verdict,
    changed_rows,
    changes,
    compare_graders,
    declared_margins,
)
from dr_pipeline.metrics.curves import roc_auc
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.schema import Status
from dr_pipeline.tables.changed import Effect
from tests.factories.answers import DECISION, drawn_logits, graded_answers

DRAWN = {"replicates": 200, "seed": 3, "confidence": 0.95}
GRADES = np.tile(np.arange(5), 60)
GROUPS = [f"patient:{row // 2}" for row in range(len(GRADES))]
MARGINS = declared_margins({})


def test_the_figures_are_those_of_each_grader_by_itself() -> None:
    old, new = graded_answers(GRADES, noise=0.4, ungradable=(0, 3)), graded_answers(GRADES, noise=0.5, seed=1)
    endpoints = compare_graders(old, new, GRADES, GROUPS, MARGINS, DRAWN)["endpoints"]
    kappas = [quadratic_weighted_kappa(GRADES, one.grade) for one in (old, new)]
    areas = [roc_auc(one.referable_probability, GRADES >= 2) for one in (old, new)]
    referred = [float(one.referred[GRADES >= 2].mean()) for one in (old, new)]
    for name, (before, after) in {"qwk": kappas, "referable_auc": areas, "referable_sensitivity": referred}.items():
        assert endpoints[name]["old"]["value"] == pytest.approx(before)
        assert endpoints[name]["new"]["value"] == pytest.approx(after)
        assert endpoints[name]["difference"]["value"] == pytest.approx(after - before)
    assert endpoints["ungradable"]["difference"]["value"] == pytest.approx(-2 / 300)


def test_a_photograph_without_a_grade_is_referred() -> None:
    """A healthy one that the new gate rejects costs specificity; a missed one that it rejects gains sensitivity."""
    old = graded_answers(np.array([0, 0, 4, 4]), noise=0.0)
    missing = replace(old, grade=np.array([0, 0, 0, 4]), referable=np.array([False, False, False, True]))
    new = replace(missing, status=(Status.UNGRADABLE, Status.SCORED, Status.NOT_FUNDUS, Status.SCORED))
    assert new.referred.tolist() == [True, False, True, True]
    counts = changes(missing, new, np.array([0, 0, 4, 4]))
    assert (counts["status"], counts["others_now_referred"], counts["referable_now_referred"]) == (2, 1, 1)


def test_a_grader_compared_with_itself_is_identical_however_few_photographs() -> None:
    old = graded_answers(GRADES[:10], noise=0.4)
    report = compare_graders(old, old, GRADES[:10], GROUPS[:10], MARGINS, DRAWN)
    assert report["verdict"] is Verdict.IDENTICAL
    assert report["changed"]["any"] == 0


def test_the_same_grader_with_rounding_errors_is_not_inferior() -> None:
    old = graded_answers(GRADES, noise=0.4)
    new = replace(old, probabilities=old.probabilities * (1 - 1e-9))
    report = compare_graders(old, new, GRADES, GROUPS, MARGINS, DRAWN)
    assert report["verdict"] is Verdict.NOT_INFERIOR
    few = compare_graders(
        old.select(np.arange(20)), new.select(np.arange(20)), GRADES[:20], GROUPS[:20], MARGINS, DRAWN
    )
    assert few["verdict"] is Verdict.NOT_SHOWN  # 12 referable photographs show no sensitivity within 0.05


def test_a_worse_grader_is_inferior_and_a_better_one_is_not() -> None:
    good, bad = graded_answers(GRADES, noise=0.3), graded_answers(GRADES, noise=1.5, seed=2)
    down = compare_graders(good, bad, GRADES, GROUPS, MARGINS, DRAWN)
    up = compare_graders(bad, good, GRADES, GROUPS, MARGINS, DRAWN)
    assert down["verdict"] is Verdict.INFERIOR
    assert down["endpoints"]["qwk"]["verdict"] is down["endpoints"]["brier"]["verdict"] is Verdict.INFERIOR
    test = down["mcnemar"]["accuracy"]
    assert test["p_patients"] < 1e-6
    assert test["lost"] == int(((good.grade == GRADES) & (bad.grade != GRADES)).sum())
    assert up["verdict"] is Verdict.NOT_INFERIOR


def test_an_operating_point_that_misses_more_is_found_though_every_grade_is_the_same() -> None:
    logits = drawn_logits(GRADES, noise=0.4, seed=0)
    lax = Decision(1.0, DECISION.cut_points, 0.97, 0.1, DECISION.fitted_on).apply(logits)
    old = graded_answers(GRADES, noise=0.4)
    report = compare_graders(old, replace(old, referable=lax.referable), GRADES, GROUPS, MARGINS, DRAWN)
    assert report["endpoints"]["qwk"]["verdict"] is Verdict.NOT_INFERIOR
    assert report["endpoints"]["referable_sensitivity"]["verdict"] is Verdict.INFERIOR
    assert report["changed"]["referable_no_longer_referred"] > 0


def test_endpoints_without_a_margin_are_shown_only() -> None:
    good, bad = graded_answers(GRADES, noise=0.3), graded_answers(GRADES, noise=1.5, seed=2)
    only = declared_margins(dict.fromkeys(ENDPOINTS.keys() - {"ungradable"}))
    report = compare_graders(good, bad, GRADES, GROUPS, only, DRAWN)
    assert report["endpoints"]["qwk"]["verdict"] is None
    assert report["verdict"] is Verdict.NOT_INFERIOR


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"kappa": 0.1}, "no endpoint kappa"),
        ({"qwk": -0.1}, "no number from 0"),
        ({"qwk": float("nan")}, "no number from 0"),
        (dict.fromkeys(ENDPOINTS), "no endpoint has a margin"),
    ],
)
def test_margins_that_are_none_are_refused(declared: dict[str, float | None], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        declared_margins(declared)


def test_photographs_of_one_class_are_refused() -> None:
    grades = np.full(30, 3)
    old = graded_answers(grades, noise=0.3)
    with pytest.raises(DataError, match="30 of 30 photographs"):
        compare_graders(old, old, grades, GROUPS[:30], MARGINS, DRAWN)


def test_changed_cases_begin_with_the_referrals_that_became_wrong() -> None:
    grades = np.array([0, 1, 2, 3, 4])
    old = graded_answers(grades, noise=0.0)
    new = replace(
        old,
        grade=np.array([0, 2, 1, 4, 4]),
        referable=np.array([False, False, False, True, True]),
        status=(Status.SCORED, Status.SCORED, Status.SCORED, Status.SCORED, Status.UNGRADABLE),
    )
    rows = changed_rows(["a", "b", "c", "d", "e"], old, new, grades)
    assert [(row.image_id, row.effect, row.referral_changed) for row in rows] == [
        ("c", Effect.WORSE, True),
        ("b", Effect.WORSE, False),
        ("d", Effect.WORSE, False),
        ("e", Effect.NEITHER, False),
    ]
    assert (rows[3].old_grade, rows[3].new_grade, rows[3].new_referred) == (4, None, True)


def test_answers_of_other_graders_differ() -> None:
    one = graded_answers(GRADES, noise=0.3)
    assert one.equals(Answers(**vars(one)))
    assert not one.equals(graded_answers(GRADES, noise=0.3, seed=9))
    assert not one.equals(graded_answers(GRADES, noise=0.3, ungradable=(4,)))
