"""Agreement, detection, screening, uncertainty and calibration: what they state is what the photographs hold."""

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, cohen_kappa_score, precision_score, roc_auc_score

from dr_pipeline.bundle.decision import Decided, Decision
from dr_pipeline.evaluation.agreement_figures import agreement_figures
from dr_pipeline.evaluation.calibration_comparison import METHODS, compare_calibrations
from dr_pipeline.evaluation.detection_figures import detection_figures
from dr_pipeline.evaluation.extended_figures import extended_figures, limits
from dr_pipeline.evaluation.image_metrics import all_and_gradable
from dr_pipeline.evaluation.screening_figures import screening_figures
from dr_pipeline.evaluation.uncertainty_figures import uncertainty_figures, uncertainty_measures
from dr_pipeline.files import canonical_json
from dr_pipeline.metrics.intervals import is_estimate
from dr_pipeline.params.evaluation import Evaluation

pytestmark = pytest.mark.slow

PARAMS = Evaluation(
    bootstrap_replicates=200, bootstrap_seed=3, confidence=0.95, two_eye_fusion=False, prevalences=(0.1, 0.3)
)
DECISION = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.4, 0.1, {"split": "validation"}, referable_curve=(3.0, -4.5))


def sample(count: int = 160, seed: int = 0) -> tuple[Decided, NDArray[np.int64], list[str]]:
    rng = np.random.default_rng(seed)
    true = rng.choice(5, count)
    logits = -((true[:, None] + rng.normal(size=(count, 1)) - np.arange(5)) ** 2)
    return DECISION.apply(logits), true, [f"P{row // 2}" for row in range(count)]


def estimates(value: Any) -> list[dict[str, Any]]:
    if is_estimate(value):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [estimate for child in children for estimate in estimates(child)]


def extended(decided: Decided, true: NDArray[np.int64], groups: list[str], **views: Any) -> dict[str, Any]:
    measures = uncertainty_measures(decided, DECISION, **views)
    return extended_figures(decided, true, groups, ["scored"] * len(true), PARAMS, measures=measures)


def test_every_figure_has_an_interval_around_it_and_json_holds_all() -> None:
    decided, true, groups = sample()
    views = np.stack([decided.expected_grade, decided.expected_grade + 0.1], axis=1)
    report = extended(decided, true, groups, views=views)
    found = estimates(report)
    assert len(found) > 150
    for figure in found:
        assert figure["low"] - 1e-9 <= figure["value"] <= figure["high"] + 1e-9
    assert json.loads(canonical_json(report)) == report
    assert report == extended(decided, true, groups, views=views)


def test_one_grade_or_no_photograph_is_undefined_and_never_a_number() -> None:
    decided, true, groups = sample()
    for rows in (np.flatnonzero(true == 0), np.zeros(0, dtype=np.int64)):
        few = Decided(**{name: values[rows] for name, values in vars(decided).items()})
        report = extended(few, true[rows], [groups[row] for row in rows])
        json.loads(canonical_json(report))
        assert report["detection"]["at_least"]["2"]["auc"]["value"] is None
        assert report["detection"]["at_least"]["2"]["auc"]["note"]
        assert report["screening"]["intention_to_screen"]["referable_sensitivity"]["value"] is None
        assert report["screening"]["intention_to_screen"]["at_prevalence"][0]["ppv"]["value"] is None
    assert "all photographs have grade 2" in " ".join(limits(np.full(30, 2), ["p"] * 30))


def test_limits_name_unknown_patients_and_grades_that_do_not_occur() -> None:
    true = np.repeat([0, 1, 2, 3], [20, 20, 5, 20])
    texts = limits(true, ["", *(["p"] * 64)])
    assert "the patient of 1 of 65 photographs is unknown" in texts[0]
    assert texts[1:] == [
        "only 5 photographs have grade 2 (Moderate NPDR)",
        "no photograph has grade 4 (Proliferative DR): nothing is known about it",
    ]
    assert limits(np.repeat(np.arange(5), 10), ["p"] * 50) == []


def test_agreement_and_detection_equal_scikit_learn() -> None:
    decided, true, groups = sample()
    agreement = agreement_figures(decided.grade, true, groups, PARAMS)
    assert agreement["linear_kappa"]["value"] == pytest.approx(cohen_kappa_score(true, decided.grade, weights="linear"))
    assert agreement["unweighted_kappa"]["value"] == pytest.approx(cohen_kappa_score(true, decided.grade))
    precisions = [agreement["precision"][str(grade)]["value"] for grade in range(5)]
    assert precisions == pytest.approx(precision_score(true, decided.grade, average=None))
    assert set(agreement["qwk_intervals"]) == {"expanded", "percentile", "bca"}
    sizes = agreement["sample_size"]["photographs_in_each_of_two_sets"]
    assert [size["difference"] for size in sizes] == [0.1, 0.05, 0.02]
    assert sizes[0]["photographs"] < sizes[1]["photographs"] < sizes[2]["photographs"]
    for border, figures in detection_figures(decided, true, groups, PARAMS)["at_least"].items():
        positive = true >= int(border)
        assert figures["auc"]["value"] == pytest.approx(roc_auc_score(positive, decided.expected_grade))
        assert figures["average_precision"]["value"] == pytest.approx(
            average_precision_score(positive, decided.expected_grade)
        )
        at = figures["sensitivity_at_specificity"]
        assert at["0.8"]["value"] >= at["0.9"]["value"] >= at["0.95"]["value"]


def test_intention_to_screen_refers_the_ungradable() -> None:
    decided, true, groups = sample()
    # The gate rejects every photograph of grade 4, none of which the model finds.
    decided = replace(decided, referable=decided.referable & (true != 4))
    statuses = ["ungradable" if grade == 4 else "scored" for grade in true]
    found = screening_figures(decided, true, groups, statuses, PARAMS)
    screened, protocol = found["intention_to_screen"], found["per_protocol"]
    gradable = true != 4
    assert screened["referable_sensitivity"]["value"] == pytest.approx(
        (decided.referable | ~gradable)[true >= 2].mean()
    )
    assert protocol["referable_sensitivity"]["value"] == pytest.approx(decided.referable[gradable & (true >= 2)].mean())
    assert screened["vision_threatening_sensitivity"]["n"] == (true >= 3).sum()
    assert found["ungradable"] == (true == 4).sum()
    first, other = screened["at_prevalence"]
    assert (first["prevalence"], other["prevalence"]) == (0.1, 0.3)
    assert first["ppv"]["value"] < other["ppv"]["value"]
    assert first["npv"]["value"] > other["npv"]["value"]
    sensitivity, specificity = (screened[f"referable_{name}"]["value"] for name in ("sensitivity", "specificity"))
    assert first["referred_per_1000"] == pytest.approx(100 * sensitivity + 900 * (1 - specificity), abs=0.05)
    assert first["missed_per_1000"] == pytest.approx(100 * (1 - sensitivity), abs=0.05)
    sensitivities = [point["sensitivity"]["value"] for point in found["workload"]]
    assert sensitivities == sorted(sensitivities)
    assert sensitivities[-1] == 1
    # Ungradable photographs come first: the first fifth holds nearly nothing else.
    assert sensitivities[3] == pytest.approx((true == 4).sum() / (true >= 2).sum(), abs=0.05)


def test_net_benefit_of_a_useful_model_exceeds_that_of_referring_all_or_nobody() -> None:
    decided, true, groups = sample(400)
    curve = screening_figures(decided, true, groups, ["scored"] * 400, PARAMS)["net_benefit"]
    middle = next(point for point in curve if point["threshold"] == pytest.approx(0.5))
    assert middle["model"]["value"] > max(0, middle["refer_all"])
    referred = decided.referable_probability >= 0.5
    expected = (referred & (true >= 2)).mean() - (referred & (true < 2)).mean()
    assert middle["model"]["value"] == pytest.approx(expected)


def test_the_band_holds_more_errors_and_a_useful_uncertainty_has_a_lower_area() -> None:
    decided, true, groups = sample(600)
    decided = replace(decided, needs_human=np.abs(decided.expected_grade[:, None] - DECISION.cut_points).min(1) < 0.1)
    measures = uncertainty_measures(decided, DECISION)
    measures["useless"] = np.random.default_rng(0).random(600)
    found = uncertainty_figures(decided, measures, true, groups, PARAMS)
    wrong = found["wrong_grade"]
    assert wrong["risk"]["value"] == pytest.approx((decided.grade != true).mean())
    assert wrong["closeness_to_cut"]["aurc"]["value"] < wrong["useless"]["aurc"]["value"]
    referral = found["wrong_referral"]
    assert referral["closeness_to_referral"]["aurc"]["value"] < referral["closeness_to_cut"]["aurc"]["value"]
    assert wrong["useless"]["aurc"]["value"] == pytest.approx(wrong["risk"]["value"], abs=0.06)
    last = wrong["entropy"]["curve"][-1]
    assert (last["coverage"], last["risk"]["value"]) == (1.0, pytest.approx(wrong["risk"]["value"]))
    band = found["review_band"]
    assert band["inside"]["wrong_grade"]["value"] > band["outside"]["wrong_grade"]["value"]
    assert band["outside"]["qwk"]["n"] + band["inside"]["qwk"]["n"] == 600


def logits_and_grades(
    count: int, scale: float, turn: bool = False
) -> tuple[NDArray[Any], NDArray[np.int64], list[str]]:
    rng = np.random.default_rng(4)
    logits = 2 * rng.normal(size=(count, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = np.array([rng.choice(5, p=row) for row in probabilities])
    shown = logits + (np.array([0, 4, 0, 0, 0]) if turn else 0)
    return scale * shown, true, [f"P{row // 2}" for row in range(count)]


def test_temperature_ships_where_it_is_enough_and_another_is_preferred_where_it_is_not() -> None:
    stretched = compare_calibrations(*logits_and_grades(600, scale=3.0), PARAMS)
    assert (stretched["preferred"], stretched["ships"]) == ("temperature", "temperature")
    methods = stretched["methods"]
    assert set(methods) == set(METHODS)
    assert methods["temperature"]["brier"]["value"] < methods["none"]["brier"]["value"]
    assert methods["temperature"]["brier_minus_temperature"]["value"] == 0
    # One grade's logit too high by 4: no temperature corrects that, a Dirichlet map does.
    turned = compare_calibrations(*logits_and_grades(600, scale=1.0, turn=True), PARAMS)
    assert turned["preferred"] == "dirichlet"
    assert turned["methods"]["dirichlet"]["brier_minus_temperature"]["high"] < 0
    assert turned["methods"]["dirichlet"]["ece"]["value"] < turned["methods"]["temperature"]["ece"]["value"]


def test_calibrations_of_a_split_without_a_grade_or_with_one_only() -> None:
    logits, true, groups = logits_and_grades(60, scale=1.0)
    for grades in (np.minimum(true, 2), np.zeros(60, dtype=np.int64)):
        found = compare_calibrations(logits, grades, groups, PARAMS)
        assert all(np.isfinite(row["log_loss"]["value"]) for row in found["methods"].values())
        json.loads(canonical_json(found))


def test_evaluation_of_thousands_of_predictions_takes_seconds() -> None:
    decided, true, groups = sample(3662)
    params = PARAMS.model_copy(update={"bootstrap_replicates": 100})
    start = time.perf_counter()
    all_and_gradable(decided, true, groups, ["scored"] * 3662, params)
    extended_figures(decided, true, groups, ["scored"] * 3662, params, measures=uncertainty_measures(decided, DECISION))
    assert time.perf_counter() - start < 6  # 60 s at 1,000 replicates; 1.5 s on an idle core
