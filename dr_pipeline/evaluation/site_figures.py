"""The figures of each site by itself: a figure of all sites together can hide one where the network fails."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.decision_fit import referable_threshold
from dr_pipeline.evaluation.image_metrics import figures, resampling, select
from dr_pipeline.metrics.bootstrap import bootstrap_sums, bootstrap_weights, one_hot_cells
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.metrics.macro import macro_auc, macro_f1_of_confusions
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import GRADES, NUM_GRADES, REFERABLE_FROM

# Of `figures`, what a row of a table by site shows.
_SHOWN = ("qwk", "accuracy", "referable_auc", "referable_sensitivity", "referable_specificity", "needs_human")
UNKNOWN_SITE = "unknown"


def figures_by_site(
    decided: Decided, true: NDArray[np.int64], groups: Sequence[str], sites: Sequence[str], params: Evaluation
) -> list[dict[str, Any]]:
    """The figures of each site, by name; none where all photographs are of one.

    Args:
        decided: The decisions on N photographs; sensitivity and specificity are those of its operating point.
        true: Their grades, shape (N,).
        groups: The group of each, N names.
        sites: The site of each, N names; empty: unknown.
        params: Confidence, bootstrap replicates and their seed.
    """
    names = sorted(set(sites))
    if len(names) < 2:
        return []
    table = []
    for name in names:
        rows = np.flatnonzero(np.asarray(sites) == name)
        of_site = [groups[row] for row in rows.tolist()]
        table.append({"site": name or UNKNOWN_SITE} | site_figures(select(decided, rows), true[rows], of_site, params))
    return table


def site_figures(
    decided: Decided, true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """The figures of one site: n, groups, photographs by grade, and figures as in `image_metrics.figures`."""
    counts = Counter(true.tolist())
    every = figures(decided, true, groups, params)
    return {
        "n": len(true),
        "groups": len(set(groups)),
        "by_grade": {str(grade): counts[grade] for grade in GRADES},
        **{name: every[name] for name in _SHOWN},
    }


def thresholds_by_site(
    scores: NDArray[np.float64], true: NDArray[np.int64], sites: Sequence[str], target: float
) -> list[dict[str, Any]]:
    """The threshold at which each site by itself reaches the target sensitivity, beside the one that ships.

    They are shown, not used: a site far from the others needs `recalibrate`.

    Args:
        scores: Probability of referable disease, shape (N,).
        true: Grades, shape (N,).
        sites: The site of each, N names; empty: unknown.
        target: Sensitivity.

    Returns:
        Site, threshold (None without a referable photograph) and number of referable photographs, by name; none where
        all photographs are of one site.
    """
    names = sorted(set(sites))
    table = []
    for name in names if len(names) > 1 else ():
        rows = np.asarray(sites) == name
        referable = true[rows] >= REFERABLE_FROM
        threshold = referable_threshold(scores[rows], referable, target) if referable.any() else None
        table.append({"site": name or UNKNOWN_SITE, "threshold": threshold, "referable": int(referable.sum())})
    return table


def macro_figures(
    decided: Decided, true: NDArray[np.int64], groups: Sequence[str], params: Evaluation
) -> dict[str, Any]:
    """GDRBench's figures: macro AUC, accuracy and macro F1.

    Its paper and later ones state one "AUC"; its code (chehx/DGDR, utils/validate.py, commit 74fe127) computes it one
    grade against one other, and accuracy and F1 of the most probable grade. Both kinds are given: `macro_auc` is one
    grade against the rest, `macro_f1` that of the decided grade.
    """
    drawn = resampling(params)
    probabilities, most_probable = decided.probabilities, decided.probabilities.argmax(axis=1)

    def area(*, one_vs_one: bool) -> dict[str, Any]:
        return bootstrap_weights(
            lambda weights: macro_auc(probabilities, true, weights, one_vs_one=one_vs_one), groups, **drawn
        ).to_dict()

    def f1(predicted: NDArray[np.int64]) -> dict[str, Any]:
        return bootstrap_sums(_macro_f1, one_hot_cells(true, predicted), groups, **drawn).to_dict()

    return {
        "macro_auc": area(one_vs_one=False),
        "macro_auc_one_vs_one": area(one_vs_one=True),
        "macro_f1": f1(decided.grade),
        "accuracy_most_probable": clustered_proportion(most_probable == true, groups, params.confidence).to_dict(),
        "macro_f1_most_probable": f1(most_probable),
    }


def _macro_f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return macro_f1_of_confusions(sums.reshape(-1, NUM_GRADES, NUM_GRADES))
