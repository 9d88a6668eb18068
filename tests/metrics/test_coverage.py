"""The intervals hold what they promise: simulated patients with two eyes, alike as fellow eyes are."""

import time
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa

pytestmark = pytest.mark.slow

SHARES = (0.36, 0.14, 0.22, 0.14, 0.14)
CUTS = np.array([NormalDist().inv_cdf(share) for share in np.cumsum(SHARES)[:-1]])
PATIENTS = 63  # 126 photographs
Draw = tuple[NDArray[np.int64], NDArray[np.int64], list[str]]


def draw(rng: np.random.Generator, patients: int, noise: float = 0.5) -> Draw:
    """True and predicted grades: latent severity of fellow eyes correlated 0.86, the grader's errors 0.25."""
    severity = np.sqrt(0.86) * rng.normal(size=(patients, 1)) + np.sqrt(0.14) * rng.normal(size=(patients, 2))
    error = 0.5 * rng.normal(size=(patients, 1)) + np.sqrt(0.75) * rng.normal(size=(patients, 2))
    true, predicted = np.searchsorted(CUTS, severity), np.searchsorted(CUTS, severity + noise * error)
    return true.ravel(), predicted.ravel(), [f"P{row // 2}" for row in range(2 * patients)]


def coverage(truth: float, estimate: Callable[[np.random.Generator, int], Estimate], simulations: int) -> float:
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(simulations):
        found = estimate(rng, seed)
        held += found.low <= truth <= found.high
    return held / simulations


def test_kappa_interval_covers_95_percent() -> None:
    true, predicted, _ = draw(np.random.default_rng(0), 200_000)
    truth = quadratic_weighted_kappa(true, predicted)

    def estimate(rng: np.random.Generator, seed: int) -> Estimate:
        return qwk_estimate(*draw(rng, PATIENTS), replicates=1000, seed=seed, confidence=0.95)

    assert 0.93 <= coverage(truth, estimate, 800) <= 0.97


def test_interval_that_ignores_patients_is_too_narrow() -> None:
    """The reason for all this: with photographs as units a share's interval covers less than it says."""
    true, predicted, _ = draw(np.random.default_rng(0), 200_000, noise=1.5)
    truth = float(np.mean(predicted[true >= 2] >= 2))

    def by_patient(rng: np.random.Generator, seed: int) -> Estimate:
        true, predicted, groups = draw(rng, PATIENTS, noise=1.5)
        rows = np.flatnonzero(true >= 2)
        return clustered_proportion(predicted[rows] >= 2, [groups[row] for row in rows], 0.95)

    def by_photograph(rng: np.random.Generator, seed: int) -> Estimate:
        true, predicted, _ = draw(rng, PATIENTS, noise=1.5)
        rows = np.flatnonzero(true >= 2)
        return clustered_proportion(predicted[rows] >= 2, [str(row) for row in rows], 0.95)

    clustered = coverage(truth, by_patient, 2000)
    assert 0.93 <= clustered <= 0.97
    assert coverage(truth, by_photograph, 2000) < clustered - 0.01


def test_paired_interval_is_narrower_and_covers() -> None:
    rng = np.random.default_rng(3)

    def both(rng: np.random.Generator, patients: int) -> tuple[NDArray[np.int64], ...]:
        severity = np.repeat(rng.normal(size=patients), 2) + 0.4 * rng.normal(size=2 * patients)
        shared = 0.5 * rng.normal(size=2 * patients)
        graders = [severity + shared + extra * rng.normal(size=2 * patients) for extra in (0.15, 0.35)]
        return tuple(np.searchsorted(CUTS, values) for values in (severity, *graders))

    true, one, other = both(np.random.default_rng(0), 200_000)
    truth = quadratic_weighted_kappa(true, one) - quadratic_weighted_kappa(true, other)
    groups = [f"P{row // 2}" for row in range(2 * PATIENTS)]

    def estimate(rng: np.random.Generator, seed: int) -> Estimate:
        return paired_qwk_difference(*both(rng, PATIENTS), groups, replicates=400, seed=seed, confidence=0.95)

    assert 0.93 <= coverage(truth, estimate, 600) <= 0.97
    true, one, other = both(rng, PATIENTS)
    kinds = {"replicates": 1000, "seed": 0, "confidence": 0.95}
    paired = paired_qwk_difference(true, one, other, groups, **kinds)  # type: ignore[arg-type]
    alone = [qwk_estimate(true, grader, groups, **kinds) for grader in (one, other)]  # type: ignore[arg-type]
    assert paired.value == pytest.approx(alone[0].value - alone[1].value)
    unpaired_width = np.hypot(*(figure.high - figure.low for figure in alone))
    assert paired.high - paired.low < unpaired_width


def test_a_thousand_resamplings_take_milliseconds() -> None:
    sample = draw(np.random.default_rng(0), PATIENTS)
    start = time.perf_counter()
    for seed in range(20):
        qwk_estimate(*sample, replicates=1000, seed=seed, confidence=0.95)
    assert (time.perf_counter() - start) / 20 < 0.05  # 3 ms; slack for a busy machine
