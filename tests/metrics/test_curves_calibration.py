"""ROC and calibration agree with scikit-learn and with what they are defined to be."""

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from dr_pipeline.bundle.decision import softmax
from dr_pipeline.metrics.calibration import (
    NUM_BINS,
    SLOPE_LIMITS,
    TEMPERATURE_LIMITS,
    brier_scores,
    calibration_error,
    calibration_terms,
    fit_logistic,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from dr_pipeline.metrics.curves import roc_auc, roc_curve, weighted_roc_auc


def test_auc_equals_sklearn_with_ties_and_weights() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores, positive = rng.integers(0, 8, 40) / 8, rng.random(40) < 0.4
        if positive.all() or not positive.any():
            continue
        assert roc_auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
        weights = rng.integers(0, 4, (2, 40)).astype(float)
        found = weighted_roc_auc(scores, positive, weights)
        for row in range(2):
            theirs = roc_auc_score(positive, scores, sample_weight=weights[row])
            assert found[row] == pytest.approx(theirs, abs=1e-12)


def test_auc_of_one_kind_is_undefined() -> None:
    assert math.isnan(roc_auc(np.array([0.1, 0.2]), np.array([True, True])))
    assert math.isnan(roc_auc(np.array([]), np.array([], dtype=bool)))


def test_roc_curve_equals_sklearn() -> None:
    rng = np.random.default_rng(1)
    scores, positive = rng.integers(0, 20, 200) / 20, rng.random(200) < 0.5
    points = roc_curve(scores, positive)
    false_positive, true_positive, thresholds = sklearn_roc_curve(positive, scores, drop_intermediate=False)
    assert points == pytest.approx(np.stack([false_positive, true_positive, thresholds], axis=1))
    with pytest.raises(ValueError):
        roc_curve(scores, np.ones(200, dtype=bool))


def test_brier_of_two_grades_is_twice_the_binary_one() -> None:
    rng = np.random.default_rng(2)
    p, true = rng.random(100), rng.integers(0, 2, 100)
    ours = brier_scores(np.stack([1 - p, p], axis=1), true).mean()
    assert ours == pytest.approx(2 * brier_score_loss(true, p))


def test_calibration_error_of_calibrated_and_of_overconfident_probabilities() -> None:
    rng = np.random.default_rng(3)
    logits = 2 * rng.normal(size=(20_000, 5))
    true = np.array([rng.choice(5, p=row) for row in softmax(logits)])
    calibrated = calibration_error(calibration_terms(softmax(logits), true).sum(axis=0))
    overconfident = calibration_error(calibration_terms(softmax(3 * logits), true).sum(axis=0))
    assert calibrated < 0.02
    assert overconfident > 0.15
    bins = reliability(softmax(logits), true)
    assert sum(b.n for b in bins) == 20_000
    assert all(abs(b.accuracy - b.confidence) < 0.05 for b in bins if b.n > 500)


def test_reliability_bins_equal_sklearn() -> None:
    rng = np.random.default_rng(5)
    probabilities, true = softmax(2 * rng.normal(size=(300, 5))), rng.integers(0, 5, 300)
    hit = probabilities.argmax(axis=1) == true
    accuracy, confidence = calibration_curve(hit, probabilities.max(axis=1), n_bins=NUM_BINS)
    filled = [b for b in reliability(probabilities, true) if b.n]
    assert len(filled) >= 7
    assert [b.accuracy for b in filled] == pytest.approx(accuracy)
    assert [b.confidence for b in filled] == pytest.approx(confidence)


def test_temperature_is_found_again_and_is_the_minimum() -> None:
    rng = np.random.default_rng(4)
    logits = 2 * rng.normal(size=(20_000, 5))
    true = np.array([rng.choice(5, p=row) for row in softmax(logits)])
    assert fit_temperature(logits * 2.5, true) == pytest.approx(2.5, rel=0.03)
    found = fit_temperature(logits[:100], true[:100])
    best = negative_log_likelihood(logits[:100], true[:100], found)
    grid = np.geomspace(*TEMPERATURE_LIMITS, 400)
    assert best <= min(negative_log_likelihood(logits[:100], true[:100], t) for t in grid) + 1e-9


def test_temperature_stays_within_its_limits() -> None:
    perfect = 10 * np.eye(5)
    assert fit_temperature(perfect, np.arange(5)) == pytest.approx(TEMPERATURE_LIMITS[0], rel=1e-5)
    assert fit_temperature(perfect, np.arange(5)[::-1].copy()) == pytest.approx(TEMPERATURE_LIMITS[1], rel=1e-5)
    with pytest.raises(ValueError):
        fit_temperature(np.zeros((0, 5)), np.zeros(0, dtype=np.int64))


def test_logistic_curve_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 4, 4000)
    positive = rng.random(4000) < 1 / (1 + np.exp(4 - 2.5 * scores))
    peer = LogisticRegression(C=np.inf).fit(scores[:, None], positive)
    # Platt's targets, a little within 0 … 1, make the slope a little less steep
    assert fit_logistic(scores, positive) == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), rel=0.01)


def test_logistic_curve_of_few_of_one_kind_and_of_a_useless_score_keeps_its_order() -> None:
    scores = np.array([0.0, 1.0, 2.0, 3.0])
    slope, intercept = fit_logistic(scores, scores > 1.5)
    assert intercept == pytest.approx(-1.5 * slope)
    assert 1 / (1 + np.exp(-3 * slope - intercept)) < 0.85  # two photographs of each kind promise no certainty
    for positive in (scores < 1.5, scores > 9, scores < 9):
        assert fit_logistic(scores, positive)[0] == pytest.approx(SLOPE_LIMITS[0], rel=1e-4)
    with pytest.raises(ValueError, match="no photograph"):
        fit_logistic(np.zeros(0), np.zeros(0, dtype=np.bool_))
