"""Whether intervals hold what they promise where the two eyes of a patient are alike, and how fast they are.

    python -m benchmarks.coverage --trials 500 --out reports/benchmarks/coverage.json

Simulated patients with two photographs each, as large a test part as the phantom's. The latent severity of fellow eyes
is correlated so that the QWK of left against right grade is 0.86, as on EyePACS (0.857: 44,351 patients). The grader
errs alike in both eyes, by a correlation that is stated. In every trial the 95 % interval of QWK is drawn by patients,
by each method, and with photographs as units; coverage is the fraction of the trials whose interval holds the true QWK,
which 400,000 simulated photographs give. The same for the difference of two graders, and for referable sensitivity.
The table of sample sizes is of the same simulated patients. Speed is that of 2,000 resamplings by patients of 10,000
photographs, against scikit-learn's kappa in a loop over some of them; and that of every figure of 3,662 predictions,
the calibrations' comparison among them.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.evaluation.calibration_comparison import compare_calibrations
from dr_pipeline.evaluation.extended_figures import extended_figures
from dr_pipeline.evaluation.image_metrics import all_and_gradable
from dr_pipeline.evaluation.uncertainty_figures import uncertainty_measures
from dr_pipeline.files import write_json
from dr_pipeline.logs import progress
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.bootstrap import METHODS, Clusters, paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion, wilson
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.metrics.sample_size import difference_spread, kappa_spread, needed
from dr_pipeline.params.evaluation import Evaluation

SEED, CONFIDENCE, POWER = 17, 0.95, 0.8
SHARES = (0.36, 0.14, 0.22, 0.14, 0.14)  # of the grades, as the phantom's
PATIENTS = 63  # 126 photographs
LEFT_RIGHT_QWK = 0.86
ERROR_CORRELATIONS = (0.0, 0.5, 0.8)  # of the grader's errors in the two eyes
NOISE, NOISE_OF_SECOND = 0.45, 0.55  # of the graders, in standard deviations of severity
LARGE = 200_000  # patients that give the truth
REPLICATES = 1000
DIFFERENCES = (0.1, 0.05, 0.02, 0.01)
SPEED_PHOTOGRAPHS, SPEED_REPLICATES, SPEED_LOOPS = 10_000, 2000, 40
EVALUATED = 3662  # photographs of APTOS 2019's training set


@dataclass(frozen=True)
class Sample:
    """Patients with two photographs each, graded by readers and by two graders."""

    true: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    groups: list[str]

    @property
    def photographs(self) -> list[str]:
        """Every photograph as its own group."""
        return [f"{row:06}" for row in range(len(self.true))]


def cut_points() -> NDArray[np.float64]:
    """Where a standard normal severity is cut so that the grades have `SHARES`."""
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf(share) for share in np.cumsum(SHARES)[:-1]])


def draw(rng: np.random.Generator, patients: int, severity_correlation: float, error_correlation: float) -> Sample:
    cuts = cut_points()

    def alike(correlation: float) -> NDArray[np.float64]:
        common, own = rng.normal(size=(patients, 1)), rng.normal(size=(patients, 2))
        return np.asarray(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)

    severity, shared = alike(severity_correlation), alike(error_correlation)
    grades = [np.searchsorted(cuts, severity).ravel()]
    for noise in (NOISE, NOISE_OF_SECOND):
        # Half of the variance of an error is of the photograph, and common to both graders.
        error = np.sqrt(0.5) * shared + np.sqrt(0.5) * alike(error_correlation)
        grades.append(np.searchsorted(cuts, severity + noise * error).ravel())
    true, first, second = (grade.astype(np.int64) for grade in grades)
    return Sample(true, first, second, [f"{row // 2:06}" for row in range(2 * patients)])


def severity_correlation() -> float:
    """The correlation at which left and right grades have a QWK of `LEFT_RIGHT_QWK`, by bisection."""
    low, high = 0.5, 0.999
    for _ in range(12):
        middle = (low + high) / 2
        if left_right_qwk(draw(np.random.default_rng(SEED), LARGE, middle, 0.0)) < LEFT_RIGHT_QWK:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def left_right_qwk(sample: Sample) -> float:
    return quadratic_weighted_kappa(sample.true[::2], sample.true[1::2])


def estimates(sample: Sample, seed: int) -> dict[str, Estimate]:
    """The intervals of one trial by name."""
    drawn: dict[str, Any] = {"replicates": REPLICATES, "seed": seed, "confidence": CONFIDENCE}
    rows = np.flatnonzero(sample.true >= 2)
    found = sample.first[rows] >= 2
    by_method = {
        f"qwk, by patient, {method}": qwk_estimate(sample.true, sample.first, sample.groups, **drawn, method=method)
        for method in METHODS
    }
    pair = (sample.true, sample.first, sample.second)
    return by_method | {
        "qwk, by photograph": qwk_estimate(sample.true, sample.first, sample.photographs, **drawn),
        "difference, by patient": paired_qwk_difference(*pair, sample.groups, **drawn),
        "difference, by photograph": paired_qwk_difference(*pair, sample.photographs, **drawn),
        "sensitivity, by patient": clustered_proportion(found, [sample.groups[row] for row in rows], CONFIDENCE),
        "sensitivity, by photograph": clustered_proportion(found, [str(row) for row in rows], CONFIDENCE),
    }


def truths(sample: Sample) -> dict[str, float]:
    first, second = (quadratic_weighted_kappa(sample.true, grader) for grader in (sample.first, sample.second))
    return {
        "qwk": first,
        "difference": first - second,
        "sensitivity": float(np.mean(sample.first[sample.true >= 2] >= 2)),
    }


def coverage(correlation: float, error_correlation: float, trials: int) -> dict[str, Any]:
    """Coverage of every interval in `trials` trials, with its own interval, and the mean width."""
    rng = np.random.default_rng(SEED)
    large = draw(rng, LARGE, correlation, error_correlation)
    truth = truths(large)
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for seed in progress(range(trials), label=f"errors alike {error_correlation}", total=trials):
        for name, estimate in estimates(draw(rng, PATIENTS, correlation, error_correlation), seed).items():
            held.setdefault(name, []).append(estimate.low <= truth[name.partition(",")[0]] <= estimate.high)
            widths.setdefault(name, []).append(estimate.high - estimate.low)
    return {
        "error_correlation": error_correlation,
        "left_right_qwk": left_right_qwk(large),
        "truth": truth,
        "trials": trials,
        "intervals": {
            name: {
                "coverage": float(np.mean(hits)),
                "interval_95": wilson(sum(hits), len(hits), CONFIDENCE),
                "mean_width": float(np.mean(widths[name])),
            }
            for name, hits in held.items()
        },
    }


def sample_sizes(correlation: float) -> dict[str, Any]:
    """Photographs that tell a difference of QWK from none: on one test set, or in each of two."""
    rng, rows = np.random.default_rng(SEED), []
    for error_correlation in ERROR_CORRELATIONS:
        large = draw(rng, LARGE // 10, correlation, error_correlation)
        alone = kappa_spread(large.true, large.first, large.groups)
        paired = difference_spread(large.true, large.first, large.second, large.groups)
        for difference in DIFFERENCES:
            sizes = {
                name: needed(difference, spread, 2.0, confidence=CONFIDENCE, power=POWER).photographs
                for name, spread in (("same photographs", paired), ("in each of two sets", np.sqrt(2) * alone))
            }
            rows.append({"error_correlation": error_correlation, "difference": difference, "photographs": sizes})
    return {"power": POWER, "confidence": CONFIDENCE, "rows": rows}


def speed() -> dict[str, Any]:
    from sklearn.metrics import cohen_kappa_score

    sample = draw(np.random.default_rng(SEED), SPEED_PHOTOGRAPHS // 2, 0.9, 0.5)

    def ours() -> None:
        qwk_estimate(
            sample.true, sample.first, sample.groups, replicates=SPEED_REPLICATES, seed=0, confidence=CONFIDENCE
        )

    def loop() -> None:
        for weights in Clusters(sample.groups).record_weights(SPEED_LOOPS, seed=0):
            cohen_kappa_score(sample.true, sample.first, weights="quadratic", sample_weight=weights)

    ours_s, loop_s = (min(timed(work) for _ in range(3)) for work in (ours, loop))
    loop_s *= SPEED_REPLICATES / SPEED_LOOPS
    return {
        "photographs": SPEED_PHOTOGRAPHS,
        "resamplings": SPEED_REPLICATES,
        "seconds": ours_s,
        "scikit_learn_loop_seconds": loop_s,
        "measured_resamplings_of_the_loop": SPEED_LOOPS,
        "ratio": loop_s / ours_s,
    }


def evaluation_speed() -> dict[str, Any]:
    """Every figure of `test` and `evaluate` that needs predictions only, with the default number of resamplings."""
    params = Evaluation(bootstrap_replicates=REPLICATES, bootstrap_seed=20, confidence=CONFIDENCE, two_eye_fusion=False)
    decision = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.5, 0.1, {}, referable_curve=(3.0, -4.5))
    rng = np.random.default_rng(SEED)
    sample = draw(rng, EVALUATED // 2, 0.9, 0.5)
    logits = -((sample.true[:, None] + NOISE * rng.normal(size=(EVALUATED, 1)) - np.arange(5)) ** 2)
    decided, statuses = decision.apply(logits), ["scored"] * EVALUATED
    measures = uncertainty_measures(decided, decision)

    def figures() -> None:
        all_and_gradable(decided, sample.true, sample.groups, statuses, params)
        extended_figures(decided, sample.true, sample.groups, statuses, params, measures=measures)

    def calibrations() -> None:
        compare_calibrations(logits, sample.true, sample.groups, params)

    return {
        "photographs": EVALUATED,
        "resamplings": REPLICATES,
        "seconds": {"figures": timed(figures), "calibrations": timed(calibrations)},
    }


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    correlation = severity_correlation()
    report = {
        "patients": PATIENTS,
        "photographs": 2 * PATIENTS,
        "severity_correlation": correlation,
        "replicates": REPLICATES,
        "noise": [NOISE, NOISE_OF_SECOND],
        "coverage": [coverage(correlation, alike, args.trials) for alike in ERROR_CORRELATIONS],
        "sample_sizes": sample_sizes(correlation),
        "speed": speed(),
        "evaluation": evaluation_speed(),
        "machine": describe_machine(),
    }
    write_json(args.out, report)
    for entry in report["coverage"]:
        print(f"errors alike {entry['error_correlation']}: QWK {entry['truth']['qwk']:.3f}")
        for name, row in entry["intervals"].items():
            print(f"  {name:32} {row['coverage']:.3f}  width {row['mean_width']:.3f}")
    print(report["speed"], report["evaluation"])


if __name__ == "__main__":
    main()
