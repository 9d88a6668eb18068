"""Whether uncertainty finds the errors: what remains wrong where the least certain photographs go to a human reader.

Measures: closeness to a cut point, which the bundle's review margin uses; closeness to the threshold of referral;
entropy of the probabilities; and, where a photograph was graded more than once, the spread of its expected grades over
views. Entropy failed as a measure on clinical data of five grades (Jaskari et al. 2022), so that none is taken on
trust: each has its curve.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided, Decision, distance_to_cut
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.metrics.bootstrap import bootstrap_many_weights, qwk_estimate
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion
from dr_pipeline.metrics.selective import area_under_risk_coverage, entropy, risk_coverage
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import REFERABLE_FROM

_COVERAGES = np.arange(10, 21) / 20
_LEAST_PROBABILITY = 1e-12


def uncertainty_measures(
    decided: Decided, decision: Decision | None, views: NDArray[np.float64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Uncertainties of N photographs by name, higher: less certain.

    Args:
        decided: Their decisions.
        decision: Which made them; None: unknown, and with it the distances to its borders.
        views: Their expected grades under K views or by K members of an ensemble, shape (N, K); None: graded once.
    """
    measures = {"entropy": entropy(decided.probabilities)}
    if decision is not None:
        measures["closeness_to_cut"] = -distance_to_cut(decided.expected_grade, np.asarray(decision.cut_points))
        threshold = _log_odds(np.asarray(decision.referable_threshold))
        measures["closeness_to_referral"] = -np.abs(_log_odds(decided.referable_probability) - threshold)
    if views is not None:
        measures["spread_of_views"] = views.std(axis=1)
    return measures


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """In these, equal steps of the expected grade are equal distances."""
    inner = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.asarray(np.log(inner) - np.log1p(-inner))


def uncertainty_figures(
    decided: Decided,
    measures: Mapping[str, NDArray[np.float64]],
    true: NDArray[np.int64],
    groups: Sequence[str],
    params: Evaluation,
) -> dict[str, Any]:
    """Risk and coverage of N photographs by each measure, and what the human-review band does.

    Args:
        decided: Their decisions.
        measures: Of `uncertainty_measures`.
        true: Their grades, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        params: Confidence, bootstrap replicates and their seed.

    Returns:
        Under `wrong_grade` and `wrong_referral` the `risk` over all photographs, and for each measure `aurc` and
        `curve`, a list of coverage and risk; `review_band`: the fraction in it and the figures outside and inside.
    """
    losses = {
        "wrong_grade": decided.grade != true,
        "wrong_referral": decided.referable != (true >= REFERABLE_FROM),
    }
    return {
        **{
            name: {"risk": clustered_proportion(loss, groups, params.confidence).to_dict()}
            | {measure: _curve(values, loss, groups, params) for measure, values in measures.items()}
            for name, loss in losses.items()
        },
        "review_band": _review_band(decided, true, groups, params),
    }


def _curve(
    uncertainty: NDArray[np.float64], loss: NDArray[np.bool_], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    if not len(loss):
        return {"aurc": Estimate(np.nan, np.nan, np.nan, 0).to_dict(), "curve": []}

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        coverage, risk = risk_coverage(uncertainty, loss, weights)
        at = np.stack([np.argmax(coverage >= wanted - 1e-9, axis=1) for wanted in _COVERAGES], axis=1)
        area = area_under_risk_coverage(coverage, risk)
        return np.column_stack([area, np.take_along_axis(risk, at, axis=1)])

    aurc, *risks = (e.to_dict() for e in bootstrap_many_weights(statistic, groups, **resampling(params)))
    curve = [{"coverage": float(at), "risk": risk} for at, risk in zip(_COVERAGES, risks, strict=True)]
    return {"aurc": aurc, "curve": curve}


def _review_band(
    decided: Decided, true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """The photographs that the bundle sends to a human reader, against those that it grades alone."""
    band: dict[str, Any] = {
        "share": clustered_proportion(decided.needs_human, groups, params.confidence).to_dict(),
    }
    for name, among in (("inside", decided.needs_human), ("outside", ~decided.needs_human)):
        rows = np.flatnonzero(among)
        names = [groups[row] for row in rows.tolist()]
        band[name] = {
            "wrong_grade": clustered_proportion(decided.grade[rows] != true[rows], names, params.confidence).to_dict(),
            "qwk": qwk_estimate(true[rows], decided.grade[rows], names, **resampling(params)).to_dict(),
        }
    return band
