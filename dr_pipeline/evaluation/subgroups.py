"""Figures of subgroups: a figure of all photographs together can hide a camera, a site or a quality where it fails."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.paired_figures import Auc, qwk_figure
from dr_pipeline.metrics.intervals import Estimate, clustered_proportion
from dr_pipeline.schema import GRADES, REFERABLE_FROM

if TYPE_CHECKING:  # it imports pydantic, which a clinic need not have
    from dr_pipeline.evaluation.image_metrics import Resampling

# Of a subgroup, and whether higher is better.
FIGURES = {
    "qwk": True,
    "referable_auc": True,
    "referable_sensitivity": True,
    "referable_specificity": True,
    "ungradable": False,
}
UNKNOWN = "unknown"
_MAX_VALUES = 50  # of one attribute, those with most photographs


def subgroup_report(
    answers: Answers,
    true: NDArray[np.int64],
    groups: Sequence[str],
    attributes: Mapping[str, Sequence[str]],
    drawn: "Resampling",
    *,
    min_photographs: int,
) -> dict[str, Any]:
    """The figures of each value of each attribute, and of each pair of values of two attributes.

    Sensitivity and specificity are by intention to screen: a photograph without a grade is referred. Kappa and area are
    of the photographs with an answer.

    Args:
        answers: For N photographs.
        true: Their grades, shape (N,).
        groups: The patient, or whatever stays together, of each; N names.
        attributes: N values by the attribute's name; empty: unknown.
        drawn: Replicates, seed and confidence.
        min_photographs: Smaller subgroups are counted and have no figures.

    Returns:
        `whole`: the figures of all; `rows`, one per subgroup: `by` (names), `value` (one each), `is_pair`, n, groups,
        photographs by grade, `figures` (None where too few), and `worse`: the figures whose interval lies wholly on the
        worse side of the whole's value. `compared` counts the intervals, of which 2.5 % are expected to be flagged by
        chance where no subgroup differs. `not_listed`: values beyond the 50 most frequent ones, by attribute.
    """
    whole = _figures(answers, true, groups, drawn)
    values, not_listed = {}, {}
    for name, labels in attributes.items():
        known = [label or UNKNOWN for label in labels]
        frequent = [label for label, _ in Counter(known).most_common(_MAX_VALUES)]
        not_listed[name] = len(set(known)) - len(frequent)
        if len(set(known)) > 1:
            values[name] = (np.asarray(known), sorted(frequent))
    rows = [
        _row(chosen, answers, true, groups, drawn, whole=whole, min_photographs=min_photographs)
        for names in _singles_and_pairs(values)
        for chosen in _subgroups(names, values)
    ]
    compared = [figure for row in rows for figure in (row["figures"] or {}).values() if figure["low"] is not None]
    return {
        "whole": whole,
        "min_photographs": min_photographs,
        "rows": rows,
        "compared": len(compared),
        "flagged": sum(len(row["worse"]) for row in rows),
        "one_value_only": sorted(set(attributes) - set(values)),
        "not_listed": {name: count for name, count in not_listed.items() if count},
    }


Labels = Mapping[str, tuple[NDArray[np.str_], Sequence[str]]]
Chosen = tuple[tuple[str, ...], tuple[str, ...], NDArray[np.int64]]


def _singles_and_pairs(names: Iterable[str]) -> list[tuple[str, ...]]:
    listed = list(names)
    return [*((name,) for name in listed), *combinations(listed, 2)]


def _subgroups(names: tuple[str, ...], values: Labels) -> list[Chosen]:
    """The names, values and positions of every subgroup that has a photograph."""
    first, candidates = values[names[0]]
    found: list[Chosen] = [(names, (value,), np.flatnonzero(first == value)) for value in candidates]
    for name in names[1:]:
        labels, candidates = values[name]
        found = [
            (names, (*taken, value), rows[labels[rows] == value]) for _, taken, rows in found for value in candidates
        ]
    return [chosen for chosen in found if len(chosen[2])]


def _row(
    chosen: Chosen,
    answers: Answers,
    true: NDArray[np.int64],
    groups: Sequence[str],
    drawn: "Resampling",
    *,
    whole: Mapping[str, Any],
    min_photographs: int,
) -> dict[str, Any]:
    names, value, rows = chosen
    units, grades = [groups[row] for row in rows.tolist()], true[rows]
    enough = len(rows) >= min_photographs
    figures = _figures(answers.select(rows), grades, units, drawn) if enough else None
    return {
        "by": list(names),
        "is_pair": len(names) > 1,
        "value": list(value),
        "n": len(rows),
        "groups": len(set(units)),
        "by_grade": {str(grade): int((grades == grade).sum()) for grade in GRADES},
        "figures": figures,
        "worse": [
            name
            for name in FIGURES
            if figures and _is_worse(figures[name], whole[name], higher_is_better=FIGURES[name])
        ],
    }


def _is_worse(figure: Mapping[str, Any], whole: Mapping[str, Any], *, higher_is_better: bool) -> bool:
    if whole["value"] is None or figure["low"] is None or figure["high"] is None:
        return False
    return bool(figure["high"] < whole["value"] if higher_is_better else figure["low"] > whole["value"])


def _figures(
    answers: Answers, true: NDArray[np.int64], groups: Sequence[str], drawn: "Resampling"
) -> dict[str, dict[str, Any]]:
    referable, answered = true >= REFERABLE_FROM, np.flatnonzero(answers.answered)
    units = [groups[row] for row in answered.tolist()]
    some = answers.select(answered)

    def share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
        rows = np.flatnonzero(among)
        return clustered_proportion(hits[rows], [groups[row] for row in rows.tolist()], drawn["confidence"])

    estimates = {
        "qwk": qwk_figure(true[answered], some.grade).estimate(units, drawn),
        "referable_auc": Auc(some.referable_probability, referable[answered]).estimate(units, drawn),
        "referable_sensitivity": share(answers.referred, referable),
        "referable_specificity": share(~answers.referred, ~referable),
        "ungradable": share(~answers.scored, np.ones(len(true), dtype=np.bool_)),
    }
    return {name: estimate.to_dict() for name, estimate in estimates.items()}
