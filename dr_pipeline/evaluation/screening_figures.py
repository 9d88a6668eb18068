"""What the referrals of a screening programme would be: intention to screen, predictive values, workload, net benefit.

Intention to screen: a photograph that the quality gate rejects is referred, since a programme cannot send that person
home. Figures of gradable photographs alone (per protocol) stand beside it, not instead.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.evaluation.rejection import is_rejected
from dr_pipeline.metrics.bootstrap import bootstrap_many_sums
from dr_pipeline.metrics.decision_curve import net_benefit_of_all, net_benefit_terms
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion
from dr_pipeline.metrics.predictive_values import predictive_values
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import REFERABLE_FROM, VISION_THREATENING_FROM

_THRESHOLDS = np.arange(1, 20) / 20
_REFERRED = np.arange(1, 21) / 20  # fractions of the photographs that go to a human reader
_EXAMPLE = 1000  # people screened, in the figures at a stated prevalence


def screening_figures(
    decided: Decided, true: NDArray[np.int64], groups: Sequence[str], statuses: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """The figures of N photographs at the deployed operating point, and two curves over all others.

    Args:
        decided: Their decisions.
        true: Their grades, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        statuses: Their quality statuses.
        params: Confidence, bootstrap replicates and their seed, and the prevalences to state.

    Returns:
        `intention_to_screen` and `per_protocol`: sensitivity and specificity of referral for referable and
        vision-threatening disease, the fraction `referred`, and `at_prevalence`, one entry per stated prevalence;
        `workload`: sensitivity by the fraction referred, ungradable photographs first; `net_benefit` by threshold.
    """
    rejected = is_rejected(statuses)
    referred, gradable = decided.referable | rejected, np.flatnonzero(~rejected)
    return {
        "ungradable": int(rejected.sum()),
        "intention_to_screen": _referral(referred, true, groups, params),
        "per_protocol": _referral(
            decided.referable[gradable], true[gradable], [groups[row] for row in gradable.tolist()], params
        ),
        "workload": _workload(np.where(rejected, np.inf, decided.referable_probability), true, groups, params),
        "net_benefit": _net_benefit(np.where(rejected, 1.0, decided.referable_probability), true, groups, params),
    }


def _referral(
    referred: NDArray[np.bool_], true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    def share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
        rows = np.flatnonzero(among)
        return clustered_proportion(hits[rows], [groups[row] for row in rows.tolist()], params.confidence)

    diseased, threatening = true >= REFERABLE_FROM, true >= VISION_THREATENING_FROM
    sensitivity, specificity = share(referred, diseased), share(~referred, ~diseased)
    return {
        "referred": clustered_proportion(referred, groups, params.confidence).to_dict(),
        "referable_sensitivity": sensitivity.to_dict(),
        "referable_specificity": specificity.to_dict(),
        "vision_threatening_sensitivity": share(referred, threatening).to_dict(),
        "prevalence_here": clustered_proportion(diseased, groups, params.confidence).to_dict(),
        "at_prevalence": [_at(prevalence, sensitivity, specificity) for prevalence in params.prevalences],
    }


def _at(prevalence: float, sensitivity: Estimate, specificity: Estimate) -> dict[str, Any]:
    positive, negative = predictive_values(sensitivity, specificity, prevalence)
    diseased = _EXAMPLE * prevalence
    referred = diseased * sensitivity.value + (_EXAMPLE - diseased) * (1 - specificity.value)
    missed = diseased * (1 - sensitivity.value)
    return {
        "prevalence": prevalence,
        "ppv": positive.to_dict(),
        "npv": negative.to_dict(),
        "referred_per_1000": round(referred, 1) if np.isfinite(referred) else None,
        "missed_per_1000": round(missed, 1) if np.isfinite(missed) else None,
    }


def _workload(
    urgency: NDArray[np.float64], true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> list[dict[str, Any]]:
    """How much disease the most urgent photographs hold; a list, since DVC names metrics after keys."""
    order = np.argsort(-urgency, kind="stable")
    rows = np.flatnonzero(true >= REFERABLE_FROM)
    names = [groups[row] for row in rows.tolist()]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    curve = []
    for fraction in _REFERRED.tolist():
        found = rank[rows] < round(fraction * len(order))
        sensitivity = clustered_proportion(found, names, params.confidence)
        curve.append({"referred": fraction, "sensitivity": sensitivity.to_dict(), "missed": int((~found).sum())})
    return curve


def _net_benefit(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> list[dict[str, Any]]:
    diseased = true >= REFERABLE_FROM
    terms = np.concatenate([net_benefit_terms(probabilities, diseased, _THRESHOLDS), np.ones((len(true), 1))], axis=1)
    estimates = bootstrap_many_sums(lambda sums: sums[:, :-1] / sums[:, -1:], terms, groups, **resampling(params))
    everybody = net_benefit_of_all(float(diseased.mean()) if len(true) else np.nan, _THRESHOLDS)
    return [
        {
            "threshold": float(threshold),
            "model": estimate.to_dict(),
            "refer_all": float(benefit) if np.isfinite(benefit) else None,
        }
        for threshold, estimate, benefit in zip(_THRESHOLDS, estimates, everybody, strict=True)
    ]
