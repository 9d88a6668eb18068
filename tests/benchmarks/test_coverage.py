"""The simulation of the intervals' coverage: fellow eyes as alike as on EyePACS, and what that does to intervals."""

import numpy as np
import pytest

from benchmarks.coverage import LEFT_RIGHT_QWK, PATIENTS, draw, left_right_qwk, sample_sizes
from dr_pipeline.files import read_json
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.metrics.sample_size import difference_spread, needed
from tests.factories import REPOSITORY

pytestmark = pytest.mark.slow

REPORT = read_json(REPOSITORY / "reports" / "benchmarks" / "coverage.json")
ALIKE = 0.8  # the grader's errors in both eyes


def test_left_and_right_grades_agree_as_those_of_eyepacs() -> None:
    sample = draw(np.random.default_rng(0), 100_000, REPORT["severity_correlation"], ALIKE)
    assert left_right_qwk(sample) == pytest.approx(LEFT_RIGHT_QWK, abs=0.01)
    assert np.bincount(sample.true) / len(sample.true) == pytest.approx([0.36, 0.14, 0.22, 0.14, 0.14], abs=0.01)


def test_interval_by_patient_covers_and_by_photograph_does_not() -> None:
    rng, trials = np.random.default_rng(1), 250
    large = draw(rng, 100_000, REPORT["severity_correlation"], ALIKE)
    truth, held = quadratic_weighted_kappa(large.true, large.first), np.zeros(2)
    for seed in range(trials):
        sample = draw(rng, PATIENTS, REPORT["severity_correlation"], ALIKE)
        for which, groups in enumerate((sample.groups, sample.photographs)):
            found = qwk_estimate(sample.true, sample.first, groups, replicates=400, seed=seed, confidence=0.95)
            held[which] += found.low <= truth <= found.high
    by_patient, by_photograph = held / trials
    assert 0.91 <= by_patient <= 0.985  # 250 trials: ± 0.027
    assert by_photograph < by_patient - 0.04


def test_the_committed_figures_hold_what_the_documents_state() -> None:
    for entry in REPORT["coverage"]:
        assert entry["trials"] == 500
        assert 0.93 <= entry["intervals"]["qwk, by patient, expanded"]["coverage"] <= 0.97
        assert entry["intervals"]["qwk, by photograph"]["coverage"] < 0.93
    assert REPORT["speed"]["seconds"] <= 2
    assert sum(REPORT["evaluation"]["seconds"].values()) <= 60


def test_the_sample_size_finds_the_difference_as_often_as_promised() -> None:
    rng, trials = np.random.default_rng(2), 200
    correlation = REPORT["severity_correlation"]
    large = draw(rng, 20_000, correlation, ALIKE)
    graders = (large.true, large.first, large.second)
    truth = quadratic_weighted_kappa(*graders[:2]) - quadratic_weighted_kappa(large.true, large.second)
    size = needed(truth, difference_spread(*graders, large.groups), 2.0, confidence=0.95, power=0.8)
    found = 0
    for seed in range(trials):
        sample = draw(rng, size.patients, correlation, ALIKE)
        drawn = {"replicates": 300, "seed": seed, "confidence": 0.95}
        pair = (sample.true, sample.first, sample.second)
        found += paired_qwk_difference(*pair, sample.groups, **drawn).low > 0  # type: ignore[arg-type]
    assert 0.72 <= found / trials <= 0.88


def test_fewer_photographs_tell_two_graders_apart_on_the_same_ones() -> None:
    for row in sample_sizes(REPORT["severity_correlation"])["rows"]:
        assert row["photographs"]["same photographs"] < row["photographs"]["in each of two sets"]
