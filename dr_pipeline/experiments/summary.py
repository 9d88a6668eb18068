"""The report of an experiment: figures of each arm and fold, and of every arm against the first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dr_pipeline.evaluation.image_metrics import figures, resampling, select
from dr_pipeline.evaluation.site_figures import figures_by_site, macro_figures, site_figures
from dr_pipeline.experiments.definition import Experiment
from dr_pipeline.experiments.nested_folds import LEAVE_ONE_SITE_OUT, ONE_SITE_TO_REST
from dr_pipeline.experiments.out_of_fold import OutOfFold
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.experiments.shift_summary import shift_summary
from dr_pipeline.experiments.throughput import METHOD as THROUGHPUT_METHOD
from dr_pipeline.metrics.bootstrap import paired_qwk_difference
from dr_pipeline.metrics.curves import roc_auc
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import GRADES, REFERABLE_FROM, RESEARCH_USE

SCHEMA_VERSION = 4  # 4: with protocol, and by_site and mean_of_sites of the arms
_CHOSEN = (
    "an inner validation part of {part} chooses the epoch, the temperature and the cut points; intervals describe "
    "other photographs, not other trainings of the networks"
)
METHOD = {
    "folds": "nested cross-validation by group: each outer fold is predicted once; figures are of all outer folds "
    "pooled; " + _CHOSEN.format(part="the other folds"),
    LEAVE_ONE_SITE_OUT: "each site is predicted by a network of all other sites; " + _CHOSEN.format(part="those"),
    ONE_SITE_TO_REST: "a network of each site predicts all other sites; pooled figures count a photograph once for "
    "each of these networks; " + _CHOSEN.format(part="its site"),
}
# Averaged over the sites without weights, as GDRBench's tables do.
_AVERAGED = (
    "qwk",
    "referable_auc",
    "accuracy",
    "macro_auc",
    "macro_auc_one_vs_one",
    "macro_f1",
    "accuracy_most_probable",
    "macro_f1_most_probable",
)
UNKNOWN_PATIENTS = (
    "unknown: photographs of one person may lie in different folds, so that figures may be too good and intervals too "
    "narrow"
)
SEEN_BY_A_BUNDLE = (
    "first weights or teacher come from a bundle: where it was trained on these photographs, the figures are too good"
)


@dataclass(frozen=True)
class ArmResult:
    """The result of one arm.

    Attributes:
        settings: The arm's settings.
        throughput: Plain values: photographs per second in training and inference, parameters.
        predictions: Its out-of-fold predictions; None where it was only timed.
        trainings: The facts of each fold's training; empty where it was only timed.
    """

    settings: Settings
    throughput: Mapping[str, Any]
    predictions: OutOfFold | None
    trainings: tuple[Mapping[str, Any], ...]


def summarise(
    name: str,
    experiment: Experiment,
    arms: Sequence[ArmResult],
    params: Evaluation,
    *,
    candidate: str,
    num_folds: int,
    configurations_opened: int,
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """The report of an experiment, as JSON holds it.

    Args:
        name: The experiment's name.
        experiment: The experiment.
        arms: The results, in its order.
        params: Confidence, bootstrap replicates and their seed.
        candidate: The key in params.yaml that was varied.
        num_folds: Outer folds.
        configurations_opened: Configurations of the ledger whose outer folds of these photographs were predicted.
        machine: The machine it ran on.
    """
    trained = [arm for arm in arms if arm.predictions is not None]
    first = trained[0] if trained else None
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment": name,
        "question": experiment.question,
        "candidate": candidate,
        "protocol": experiment.protocol,
        "method": METHOD[experiment.protocol],
        "throughput_method": THROUGHPUT_METHOD,
        "folds": num_folds,
        "camera_shift": experiment.camera_shift,
        "configurations_tried": len(trained),
        "configurations_opened": configurations_opened,
        "confidence": params.confidence,
        "data": _data(first.predictions) if first is not None and first.predictions is not None else None,
        "arms": [_arm(arm, first, params) for arm in arms],
        "machine": dict(machine),
        "research_use": RESEARCH_USE,
    }


def _data(pooled: OutOfFold) -> dict[str, Any]:
    return {
        "photographs": len(pooled.rows),
        "groups": len(set(pooled.groups)),
        "by_grade": {str(grade): int((pooled.grades == grade).sum()) for grade in GRADES},
        "patients": _patients(pooled),
    }


def _patients(pooled: OutOfFold) -> str:
    known = [row.patient_id for row in pooled.rows if row.patient_id]
    if not known:
        return UNKNOWN_PATIENTS
    if len(known) < len(pooled.rows):
        return f"unknown for {len(pooled.rows) - len(known)} photographs, each taken for a person of its own"
    return str(len(set(known)))


def _arm(arm: ArmResult, first: ArmResult | None, params: Evaluation) -> dict[str, Any]:
    settings = arm.settings
    entry: dict[str, Any] = {
        "arm": settings.name,
        "changes": dict(settings.changes),
        "settings": settings.to_dict(),
        "throughput": dict(arm.throughput),
        "trained": arm.predictions is not None,
    }
    if "bundle:" in settings.candidate.weights + settings.training.distillation.teacher:
        entry["caution"] = SEEN_BY_A_BUNDLE
    if arm.predictions is None or first is None or first.predictions is None:
        return entry
    pooled = arm.predictions
    entry["figures"] = figures(pooled.decided, pooled.grades, pooled.groups, params)
    entry["by_fold"] = [fold_figures(pooled, fold) for fold in range(int(pooled.folds.max()) + 1)]
    if pooled.sites:
        entry["by_site"] = [
            _site(pooled, fold, site, params, facts)
            for fold, (site, facts) in enumerate(zip(pooled.sites, arm.trainings, strict=True))
        ]
        entry["mean_of_sites"] = {name: _mean(entry["by_site"], name) for name in _AVERAGED}
    entry["trainings"] = [dict(facts) for facts in arm.trainings]
    entry["seconds"] = round(sum(facts["seconds"] for facts in arm.trainings), 1)
    if pooled.shifted:
        entry["shifts"] = shift_summary(pooled, first.predictions, resampling(params))
    if arm is not first:
        difference = paired_qwk_difference(
            pooled.grades, pooled.decided.grade, first.predictions.decided.grade, pooled.groups, **resampling(params)
        )
        entry["qwk_minus_first"] = difference.to_dict() | {"first": first.settings.name}
    return entry


def fold_figures(pooled: OutOfFold, fold: int) -> dict[str, Any]:
    """QWK and referable area of one outer fold, without an interval: the pooled figure has one."""
    in_fold = pooled.folds == fold
    true = pooled.grades[in_fold]
    qwk = quadratic_weighted_kappa(true, pooled.decided.grade[in_fold])
    scores = pooled.decided.referable_probability[in_fold]
    area = roc_auc(scores, true >= REFERABLE_FROM)
    return {
        "fold": fold,
        "n": len(true),
        "qwk": qwk if math.isfinite(qwk) else None,
        "referable_auc": area if math.isfinite(area) else None,
    }


def _site(pooled: OutOfFold, fold: int, site: str, params: Evaluation, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one site's fold; where it holds out several sites, also of each of them."""
    rows = np.flatnonzero(pooled.folds == fold)
    decided, true = select(pooled.decided, rows), pooled.grades[rows]
    groups = [pooled.rows[row].group for row in rows.tolist()]
    held_out = [pooled.rows[row].site for row in rows.tolist()]
    counts = {name: facts[name] for name in ("training_photographs", "validation_photographs")}
    entry = {"site": site, **counts, **site_figures(decided, true, groups, params)}
    entry |= macro_figures(decided, true, groups, params)
    if by_target := figures_by_site(decided, true, groups, held_out, params):
        entry["held_out"] = by_target
    return entry


def _mean(sites: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    values = [site[name]["value"] for site in sites if site[name]["value"] is not None]
    return {"value": sum(values) / len(values) if values else None, "sites": len(values), "of": len(sites)}
