"""How much of the kappa that a site's readers cost comes back by recalibration, on photographs held out.

    python -m benchmarks.recalibration --bundle data/release --out reports/benchmarks/recalibration.json

Readers of a new site draw the border between grades 1 and 2 elsewhere, at another severity of the ground truth. Two
cohorts: a phantom of another seed, scored with the bundle; and drawn logits of a network that sees the severity with
normal noise. In each draw, patients with about n photographs are labelled, the decision is fitted on them, and all
other patients are graded. Regained is the rise in kappa over the loss, both means over the draws; no cut points do
better than the best cuts, which are fitted on all photographs. The interval is that of the mean over draws (normal,
jackknife); the draws of a cohort share one network and its photographs, so it states nothing about other networks.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.deployment.class_shares import score_photographs
from dr_pipeline.deployment.recalibrate_bundle import logits_of
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.decision_fit import fit_decision
from dr_pipeline.evaluation.recalibration import refit, require_enough
from dr_pipeline.files import write_json
from dr_pipeline.intake.phantom.generate import GROUND_TRUTH, LABELS, PHANTOM_LABELS, PHOTOGRAPHS, write_phantom
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.bootstrap import qwk_estimate
from dr_pipeline.metrics.cut_points import best_cut_points
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.metrics.prior_shift import class_shares
from dr_pipeline.params.evaluation import OperatingPoint
from dr_pipeline.params.phantom_params import Phantom, PlantedFaults
from dr_pipeline.schema import GRADES, RESEARCH_USE, Status

SEED = 1520  # of the cohort, unlike any recipe's
SHARES = (0.36, 0.14, 0.22, 0.14, 0.14)
# Severity from which the site's readers call grade 2; the ground truth's border is at 2.
BORDERS = {"stricter readers: 2 from severity 1.3": 1.3, "laxer readers: 2 from severity 2.7": 2.7}
TARGETS = OperatingPoint(target_referable_sensitivity=0.9, human_review_share=0.1)


@dataclass(frozen=True)
class Cohort:
    """The gradable photographs of the phantom: logits (N, 5), severities (N,), patients (N names)."""

    logits: NDArray[np.float64]
    severities: NDArray[np.float64]
    patients: NDArray[np.str_]


def grades_at(severities: NDArray[np.float64], border: float) -> NDArray[np.int64]:
    """Grades of readers whose border between 1 and 2 is at this severity."""
    return np.searchsorted([1.0, border, 3.0, 4.0], severities, side="right").astype(np.int64)


def score_cohort(bundle_root: Path, patients: int, work: Path) -> Cohort:
    faults = PlantedFaults(**dict.fromkeys(PlantedFaults.model_fields, 0))
    params = Phantom(seed=SEED, patients=patients, grade_shares=SHARES, megapixels=0.5, faults=faults)
    write_phantom(params, work / "site", workers=1)
    labels = PHANTOM_LABELS.read(work / "site" / LABELS)
    truth = json.loads((work / "site" / GROUND_TRUTH).read_text())["photographs"]
    bundle = read_bundle(bundle_root, threads=1)
    images = [row.image for row in labels]
    engine = EngineChoice(EngineName.IN_PROCESS)
    scores = score_photographs(bundle, work / "site" / PHOTOGRAPHS, images, "", engine)
    kept = [index for index, score in enumerate(scores) if score.status is Status.SCORED]
    return Cohort(
        logits_of([scores[index] for index in kept], bundle.decision),
        np.array([truth[Path(images[index]).stem]["severity"] for index in kept]),
        np.array([labels[index].patient for index in kept]),
    )


def drawn_cohort(seed: int, patients: int) -> Cohort:
    """Two eyes a patient, severities uniform in 0 … 5, seen with normal noise of 0.5 grades."""
    rng = np.random.default_rng(seed)
    severities = np.repeat(rng.uniform(0, 5, patients), 2) + rng.normal(0, 0.3, 2 * patients)
    seen = severities - 0.5 + rng.normal(0, 0.5, 2 * patients)
    names = np.array([f"P{row // 2}" for row in range(2 * patients)])
    return Cohort(-1.5 * (seen[:, None] - np.arange(5)) ** 2, severities, names)


def drawn_parent() -> Decision:
    cohort = drawn_cohort(SEED + 1, 200)
    grades = grades_at(cohort.severities, 2.0)
    return fit_decision(cohort.logits, grades, cohort.patients.tolist(), TARGETS, seed=SEED, provenance={})


def all_borders(cohort: Cohort, parent: Decision, num_draws: int) -> dict[str, Any]:
    """The summaries for each border and number of labels."""
    true, groups = grades_at(cohort.severities, 2.0), cohort.patients.tolist()
    agreed = qwk_estimate(true, parent.apply(cohort.logits).grade, groups, replicates=1000, seed=1, confidence=0.95)
    return {
        "photographs": len(true),
        "patients": len(set(groups)),
        "kappa_with_the_old_readers": agreed.to_dict(),
        "borders": {
            name: [
                summarise(np.array(list(draws(cohort, parent, border, n, num_draws))), n, num_draws)
                for n in (50, 100, 200)
            ]
            for name, border in BORDERS.items()
        },
    }


def draws(cohort: Cohort, parent: Decision, border: float, n: int, num_draws: int) -> Iterator[tuple[float, ...]]:
    """Kappa on the held-out patients of each draw: with the old readers, before, after, and attainable by any cuts.

    Draws that `recalibrate` would refuse are skipped.
    """
    shifted, original = grades_at(cohort.severities, border), grades_at(cohort.severities, 2.0)
    decided = parent.apply(cohort.logits)
    before, severity = decided.grade, decided.expected_grade
    best = best_cut_points(severity, shifted)
    names = np.unique(cohort.patients)
    rng = np.random.default_rng(SEED)
    for _ in range(num_draws):
        chosen = rng.permutation(names)[: round(n * len(names) / len(cohort.patients))]
        labelled = np.isin(cohort.patients, chosen)
        groups = cohort.patients[labelled].tolist()
        try:
            require_enough(shifted[labelled], groups)
        except DataError:
            continue
        fitted = refit(parent, cohort.logits[labelled], shifted[labelled], groups, TARGETS, seed=SEED, provenance={})
        rest = ~labelled
        after = fitted.apply(cohort.logits[rest]).grade
        yield (
            quadratic_weighted_kappa(original[rest], before[rest]),
            quadratic_weighted_kappa(shifted[rest], before[rest]),
            quadratic_weighted_kappa(shifted[rest], after),
            quadratic_weighted_kappa(shifted[rest], np.searchsorted(best, severity[rest], side="right")),
        )


def summarise(kappas: NDArray[np.float64], n: int, asked: int) -> dict[str, Any]:
    old, before, after, best = kappas.T
    lost, risen = old - before, after - before
    regained = risen.mean() / lost.mean()
    count = len(kappas)
    without = (risen.sum() - risen) / (lost.sum() - lost)
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    return {
        "n": n,
        "draws": count,
        "draws_refused": asked - count,
        "kappa_old_readers": old.mean(),
        "kappa_before": before.mean(),
        "kappa_after": after.mean(),
        "kappa_of_the_best_cuts": best.mean(),
        "regained": {"value": regained, "low": regained - 1.96 * error, "high": regained + 1.96 * error, "n": count},
        "regained_at_least_half": float((risen >= lost / 2).mean()),
        "made_worse": float((risen < 0).mean()),
    }


def prior_shift(cohort: Cohort, bundle_root: Path) -> dict[str, Any]:
    """Class shares by EM without labels, against the truth of the same photographs, which are of the same kind."""
    bundle = read_bundle(bundle_root, threads=1)
    source = np.asarray(bundle.metadata["validation"]["gradable"]["confusion"], dtype=np.float64).sum(axis=1)
    estimated = class_shares(bundle.decision.apply(cohort.logits).probabilities, source / source.sum())
    true = np.bincount(grades_at(cohort.severities, 2.0), minlength=len(GRADES)) / len(cohort.severities)
    return {
        "estimated": estimated.tolist(),
        "true": true.tolist(),
        "total_variation": float(np.abs(estimated - true).sum() / 2),
        "total_variation_without_em": float(np.abs(source / source.sum() - true).sum() / 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        cohort = score_cohort(args.bundle, args.patients, Path(work))
    parent = read_bundle(args.bundle, threads=1)
    report: dict[str, Any] = {
        "bundle_id": parent.bundle_id,
        "phantom": all_borders(cohort, parent.decision, args.draws),
        "drawn": all_borders(drawn_cohort(SEED, 300), drawn_parent(), args.draws),
        "prior_shift": prior_shift(cohort, args.bundle),
        "machine": describe_machine(),
        "research_use": RESEARCH_USE,
    }
    write_json(args.out, report)


if __name__ == "__main__":
    main()
