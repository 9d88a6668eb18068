"""Figures with an answer known by hand, by scipy, or by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from dr_pipeline.metrics.bootstrap import bca_interval, bootstrap_many_weights, percentile_interval, qwk_estimate
from dr_pipeline.metrics.classification import (
    balanced_accuracy_of_confusions,
    mean_absolute_error_of_confusions,
    precisions_of_confusions,
)
from dr_pipeline.metrics.curves import Cumulated, average_precision
from dr_pipeline.metrics.decision_curve import net_benefit_of_all, net_benefit_terms
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion
from dr_pipeline.metrics.kappa import confusion_matrix, kappa_of_confusions
from dr_pipeline.metrics.paired_tests import delong, exact_mcnemar, mcnemar
from dr_pipeline.metrics.predictive_values import predictive_values
from dr_pipeline.metrics.sample_size import difference_spread, kappa_spread, needed
from dr_pipeline.metrics.selective import area_under_risk_coverage, entropy, risk_coverage

NAN = math.nan


def alone(count: int) -> list[str]:
    return [f"{row:04}" for row in range(count)]


def test_three_kappas_of_a_small_table() -> None:
    # Three photographs: 0 called 0, 1 called 1, 2 called 0. Marginals 1/3 each, and 2/3, 1/3.
    table = confusion_matrix([0, 1, 2], [0, 1, 0])
    assert kappa_of_confusions(table, "unweighted") == pytest.approx(1 - (1 / 3) / (2 / 3))
    assert kappa_of_confusions(table, "linear") == pytest.approx(1 - (2 / 3) / (8 / 9))
    assert kappa_of_confusions(table, "quadratic") == pytest.approx(1 - (4 / 3) / (12 / 9))


def test_figures_of_a_small_table() -> None:
    table = confusion_matrix([0, 0, 1, 4], [0, 1, 1, 2])
    assert balanced_accuracy_of_confusions(table) == pytest.approx((0.5 + 1 + 0) / 3)
    assert mean_absolute_error_of_confusions(table) == pytest.approx(3 / 4)
    assert precisions_of_confusions(table) == pytest.approx([1, 0.5, 0, NAN, NAN], nan_ok=True)
    assert math.isnan(balanced_accuracy_of_confusions(np.zeros((5, 5))))
    assert math.isnan(mean_absolute_error_of_confusions(np.zeros((5, 5))))


def test_average_precision_and_fixed_points_by_hand() -> None:
    scores, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, positive) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    curve = Cumulated.of(scores, positive, np.array([[1.0, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0, 1]]))
    assert curve.sensitivity_at(0.75) == pytest.approx([0.5, 1, NAN], nan_ok=True)
    assert curve.specificity_at(1.0) == pytest.approx([0.5, 1, NAN], nan_ok=True)
    assert math.isnan(average_precision(scores, np.zeros(4, dtype=bool)))
    assert math.isnan(average_precision(np.zeros(0), np.zeros(0, dtype=bool)))


def test_predictive_values_by_hand_and_at_the_limits() -> None:
    ppv, npv = predictive_values(Estimate(0.9, 0.8, 0.95, 50), Estimate(0.8, 0.7, 0.9, 100), 0.1)
    assert ppv.value == pytest.approx(0.09 / (0.09 + 0.18))
    assert npv.value == pytest.approx(0.72 / (0.72 + 0.01))
    assert ppv.low < ppv.value < ppv.high
    assert npv.low < npv.value < npv.high
    assert ppv.n == 150
    ppv, npv = predictive_values(Estimate(1.0, 0.9, 1.0, 30), Estimate(1.0, 0.95, 1.0, 60), 0.1)
    assert (ppv.value, ppv.high, npv.value, npv.high) == (1, 1, 1, 1)
    assert 0.5 < ppv.low < 0.75
    assert 0.98 < npv.low < 1
    ppv, _ = predictive_values(Estimate(NAN, NAN, NAN, 0), Estimate(0.9, 0.8, 0.95, 10), 0.1)
    assert math.isnan(ppv.value)
    for prevalence in (0.0, 1.0, NAN):
        with pytest.raises(ValueError, match="prevalence"):
            predictive_values(Estimate(0.9, 0.8, 1, 9), Estimate(0.9, 0.8, 1, 9), prevalence)


def test_interval_of_predictive_values_covers() -> None:
    rng, held, trials = np.random.default_rng(5), 0, 600
    truth = 0.9 * 0.1 / (0.9 * 0.1 + 0.15 * 0.9)
    for _ in range(trials):
        sensitivity = clustered_proportion(rng.random(60) < 0.9, alone(60), 0.95)
        specificity = clustered_proportion(rng.random(120) < 0.85, alone(120), 0.95)
        ppv, _ = predictive_values(sensitivity, specificity, 0.1)
        held += ppv.low <= truth <= ppv.high
    assert 0.93 <= held / trials <= 0.975


def test_net_benefit_by_hand() -> None:
    probabilities, positive = np.array([0.9, 0.6, 0.3, 0.1]), np.array([True, False, True, False])
    terms = net_benefit_terms(probabilities, positive, np.array([0.2, 0.5]))
    assert terms.mean(axis=0) == pytest.approx([(2 - 0.25) / 4, (1 - 1) / 4])
    assert net_benefit_of_all(0.5, np.array([0.2, 0.5])) == pytest.approx([0.5 - 0.5 * 0.25, 0])


def test_entropy_is_that_of_scipy_and_zero_of_certainty() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 50)
    assert entropy(probabilities) == pytest.approx(stats.entropy(probabilities, axis=1), abs=1e-12)
    assert entropy(np.eye(5)) == pytest.approx(np.zeros(5))


def test_risk_coverage_by_hand_with_ties_and_weights() -> None:
    uncertainty, wrong = np.array([0.3, 0.1, 0.2, 0.2]), np.array([1, 0, 1, 0])
    coverage, risk = risk_coverage(uncertainty, wrong, np.ones((1, 4)))
    assert coverage[0] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert risk[0] == pytest.approx([0, 0.25, 1 / 3, 0.5])
    weights = np.array([[1.0, 1, 1, 1], [1, 2, 1, 1]])
    area = area_under_risk_coverage(*risk_coverage(uncertainty, wrong, weights))
    assert area[0] == pytest.approx(np.mean([0, 0.25, 1 / 3, 0.5]))
    assert area[1] == pytest.approx((2 * 0 + 0.5 / 3 + 1 / 4 + 2 / 5) / 5)


def test_uncertainty_that_says_nothing_has_the_error_rate_as_its_area() -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(20_000) < 0.2
    for uncertainty, expected in ((rng.random(20_000), 0.2), (wrong.astype(float), 0.2 + 0.8 * math.log(0.8))):
        area = area_under_risk_coverage(*risk_coverage(uncertainty, wrong, np.ones((1, 20_000))))
        assert area[0] == pytest.approx(expected, abs=0.01)


def test_bca_and_percentiles_are_those_of_scipy() -> None:
    values = np.random.default_rng(2).exponential(size=40)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=999, method="BCa", rng=np.random.default_rng(3), vectorized=True
    )
    without = (values.sum() - values) / 39
    ours = bca_interval(found.bootstrap_distribution, values.mean(), without, 0.95)
    assert ours == pytest.approx(tuple(found.confidence_interval), abs=1e-12)
    plain = stats.bootstrap(
        (values,), np.mean, bootstrap_result=found, n_resamples=0, method="percentile", vectorized=True
    ).confidence_interval
    assert percentile_interval(found.bootstrap_distribution, 0.95, 40, expanded=False) == pytest.approx(
        tuple(plain), abs=1e-12
    )


def test_bca_of_sums_and_of_weights_agree_and_of_a_constant_is_the_constant() -> None:
    rng = np.random.default_rng(4)
    true = rng.integers(0, 5, 60)
    predicted, groups = np.clip(true + rng.integers(-1, 2, 60), 0, 4), [f"{row // 2:02}" for row in range(60)]
    drawn = {"replicates": 300, "seed": 1, "confidence": 0.95, "method": "bca"}
    cells = np.eye(25)[true * 5 + predicted]

    def kappa(weights: np.ndarray) -> np.ndarray:
        return kappa_of_confusions((weights @ cells).reshape(-1, 5, 5))[:, None]

    (by_weights,) = bootstrap_many_weights(kappa, groups, **drawn)  # type: ignore[arg-type]
    by_sums = qwk_estimate(true, predicted, groups, **drawn)  # type: ignore[arg-type]
    assert (by_weights.low, by_weights.high) == pytest.approx((by_sums.low, by_sums.high))
    perfect = qwk_estimate(true, true, groups, **drawn)  # type: ignore[arg-type]
    assert (perfect.value, perfect.low, perfect.high) == (1, 1, 1)
    assert math.isnan(bca_interval(np.array([0.1, 0.2, 0.3]), 0.9, np.zeros(5), 0.95)[0])
    with pytest.raises(ValueError, match="no record"):
        bootstrap_many_weights(kappa, [], **drawn)  # type: ignore[arg-type]


@pytest.mark.parametrize(("one", "other"), [(0, 0), (5, 1), (3, 3), (40, 22)])
def test_exact_mcnemar_is_a_binomial_test(one: int, other: int) -> None:
    expected = stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert exact_mcnemar(one, other) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_without_clusters_is_the_textbook_s() -> None:
    first = np.array([True] * 15 + [False] * 5 + [True] * 40 + [False] * 10)
    second = np.array([False] * 15 + [True] * 5 + [True] * 40 + [False] * 10)
    found = mcnemar(first, second, alone(70), 0.95)
    assert (found.only_first, found.only_second) == (15, 5)
    assert found.p_value == pytest.approx(stats.chi2.sf(100 / 20, 1), abs=1e-12)
    assert found.difference.value == pytest.approx(10 / 70)
    paired = mcnemar(np.repeat(first, 2), np.repeat(second, 2), list(np.repeat(alone(70), 2)), 0.95)
    assert paired.p_value == pytest.approx(found.p_value)  # an eye counted twice adds nothing
    assert paired.difference.low == pytest.approx(found.difference.low)
    same = mcnemar(first, first, alone(70), 0.95)
    assert (same.p_value, same.difference.value) == (1, 0)
    assert mcnemar(first[:0], second[:0], [], 0.95).to_dict()["p_value"] is None


def test_delong_is_the_definition_of_its_variance() -> None:
    rng = np.random.default_rng(6)
    positive = np.array([True] * 20 + [False] * 30)
    first, second = (np.round(rng.normal(size=50) + positive, 1) for _ in range(2))

    def components(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = (scores[:20, None] > scores[None, 20:]) + 0.5 * (scores[:20, None] == scores[None, 20:])
        return pairs.mean(axis=1), pairs.mean(axis=0)

    (ten, one), (ten_second, one_second) = components(first), components(second)
    variance = np.var(ten - ten_second, ddof=1) / 20 + np.var(one - one_second, ddof=1) / 30
    difference = ten.mean() - ten_second.mean()
    found = delong(first, second, positive, alone(50), 0.95)
    assert found.difference.value == pytest.approx(difference, abs=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(difference) / math.sqrt(variance)), abs=1e-12)
    twice = delong(*(np.repeat(v, 2) for v in (first, second, positive)), list(np.repeat(alone(50), 2)), 0.95)  # type: ignore[arg-type]
    assert twice.p_value == pytest.approx(found.p_value)
    assert delong(first, 3 * first, positive, alone(50), 0.95).p_value == 1
    assert delong(first, second, positive | True, alone(50), 0.95).to_dict()["value"] is None


def test_tests_by_patient_keep_their_level_and_tests_by_photograph_do_not() -> None:
    """Two equally good graders; each errs alike in both eyes of a patient."""
    rng, trials, patients = np.random.default_rng(7), 400, 60
    by_patient, by_photograph = np.zeros(2), np.zeros(2)
    groups = [f"{row // 2:03}" for row in range(2 * patients)]
    for _ in range(trials):
        disease = np.repeat(rng.random(patients) < 0.4, 2)
        one, two = (
            disease + np.repeat(rng.normal(size=patients), 2) + 0.3 * rng.normal(size=2 * patients) for _ in "ab"
        )
        hits = [(score > 0.5) == disease for score in (one, two)]
        for names, found in ((groups, by_patient), (alone(2 * patients), by_photograph)):
            found += [
                mcnemar(hits[0], hits[1], names, 0.95).p_value < 0.05,
                delong(one, two, disease, names, 0.95).p_value < 0.05,
            ]
    assert (by_patient / trials < 0.08).all()
    assert (by_photograph / trials > 0.11).all()


def test_sample_size_by_hand_and_out_of_range() -> None:
    found = needed(0.05, 0.5, 2.0, confidence=0.95, power=0.8)
    assert found.patients == math.ceil(((1.959964 + 0.841621) * 10) ** 2)
    assert found.photographs == 2 * found.patients
    for wrong in ({"difference": 0.0}, {"spread": NAN}, {"power": 1.0}):
        arguments = {"difference": 0.05, "spread": 0.5, "photographs_per_patient": 2.0, "power": 0.8} | wrong
        with pytest.raises(ValueError, match="out of range"):
            needed(**arguments, confidence=0.95)  # type: ignore[arg-type]


def test_spread_is_that_of_simulated_kappas() -> None:
    rng = np.random.default_rng(8)

    def draw(patients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
        severity = np.repeat(rng.normal(size=patients), 2) + 0.4 * rng.normal(size=2 * patients)
        noisy = (severity + scale * rng.normal(size=2 * patients) for scale in (0.0, 0.3, 0.5))
        true, one, other = (np.clip(np.round(value + 1.5), 0, 4).astype(int) for value in noisy)
        return true, one, other, [f"{row // 2:05}" for row in range(2 * patients)]

    draws = [draw(100) for _ in range(300)]
    kappas = np.array([[kappa_of_confusions(confusion_matrix(d[0], d[k])) for k in (1, 2)] for d in draws])
    true, one, other, groups = draw(20_000)
    assert kappa_spread(true, one, groups) == pytest.approx(10 * kappas[:, 0].std(), rel=0.1)
    assert difference_spread(true, one, other, groups) == pytest.approx(
        10 * (kappas[:, 0] - kappas[:, 1]).std(), rel=0.1
    )
    assert math.isnan(kappa_spread([0, 1], [0, 1], ["a", "a"]))
